/** Owns answers in a dialog: it opens at once, since the leave to open one lasts three seconds, and shows then what was looked up. */
import type { ModalView } from '@slack/types';
import { explain } from './asking.ts';
import type { Speaker, TalkOptions } from './asking.ts';
import { answerDialog, waitDialog } from './views/dialogs.ts';

/** What goes wrong in `look` is shown in the dialog. Throws slack.refused when there can be none. */
export async function inDialog(
  options: TalkOptions,
  speaker: Speaker,
  title: string,
  look: () => Promise<ModalView>,
): Promise<undefined> {
  const dialog = await options.screen.open(speaker.trigger, waitDialog(title));
  const view = await look().catch((error: unknown) => answerDialog(title, explain(options, error, speaker)));
  await dialog.show(view);
}
