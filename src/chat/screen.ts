/** Owns what can be put before one person besides a message: a dialog, a file, a private word. */
import type { ModalView } from '@slack/types';
import { KeyturnError } from '../domain/error.ts';
import type { Log } from '../ports.ts';
import type { MessageView } from './blocks.ts';
import { refusalOf } from './slack-error.ts';

/** All throw slack.refused. */
export interface Screen {
  /** `trigger` opens one dialog, within three seconds. */
  open(trigger: string, view: ModalView): Promise<OpenDialog>;
  /** A text file in the private conversation with this person. */
  giveFile(user: string, file: { readonly name: string; readonly title: string; readonly text: string }): Promise<void>;
  /** In the private conversation with this person. */
  say(user: string, view: MessageView): Promise<void>;
  /** The dialog of that id, which was opened before. */
  dialog(id: string): OpenDialog;
}

export interface OpenDialog {
  /** Shows this instead; false when the person has closed it. */
  show(view: ModalView): Promise<boolean>;
}

/** The part of Slack's Web API that is used; a WebClient fits. */
export interface ScreenApi {
  readonly views: {
    open(call: { trigger_id: string; view: ModalView }): Promise<{ view?: { id?: string } }>;
    update(call: { view_id: string; view: ModalView }): Promise<unknown>;
  };
  readonly conversations: { open(call: { users: string }): Promise<{ channel?: { id?: string } }> };
  readonly files: {
    uploadV2(call: { channel_id: string; filename: string; title: string; content: string }): Promise<unknown>;
  };
  readonly chat: {
    postMessage(call: { channel: string; text: string; blocks: MessageView['blocks'][number][] }): Promise<unknown>;
  };
}

/** `once`: a client that makes each call once, since a trigger can't be used again. */
export function slackScreen(slack: ScreenApi, once: Pick<ScreenApi, 'views'>, log: Log): Screen {
  const dialog = (id: string): OpenDialog => ({ show: (view) => showIn(slack, id, view, log) });
  return {
    dialog,
    async open(trigger, view) {
      const opened = await asked('the dialog', once.views.open({ trigger_id: trigger, view }));
      return dialog(opened.view?.id ?? '');
    },
    async giveFile(user, { name, title, text }) {
      const { channel } = await asked('a private conversation', slack.conversations.open({ users: user }));
      const file = { channel_id: channel?.id ?? user, filename: name, title, content: text };
      await asked('the file', slack.files.uploadV2(file));
    },
    async say(user, { text, blocks }) {
      await asked('a private word', slack.chat.postMessage({ channel: user, text, blocks: [...blocks] }));
    },
  };
}

async function showIn(slack: Pick<ScreenApi, 'views'>, id: string, view: ModalView, log: Log): Promise<boolean> {
  try {
    await slack.views.update({ view_id: id, view });
    return true;
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    log.info({ reason: 'reason' in refusal ? refusal.reason : refusal.kind }, 'A dialog could not be changed any more');
    return false;
  }
}

async function asked<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    const why = 'reason' in refusal ? refusal.reason : 'too many calls';
    throw new KeyturnError('slack.refused', `Slack did not take ${what}: ${why}.`, {
      hint: 'Try again in a moment. If it stays like this, compare the scopes with deploy/slack-manifest.yaml.',
      cause: error,
    });
  }
}
