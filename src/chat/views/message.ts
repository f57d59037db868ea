/** Owns which view a message has: one for each kind of state. Pure. */
import type { MessageView } from '../blocks.ts';
import type { MessageState } from '../message-state.ts';
import { backupAlertView, backupView } from './backup.ts';
import { damageView, scrubBehindView } from './damage.ts';
import { enrolCallView } from './enrol.ts';
import { holdView } from './hold-phrases.ts';
import {
  breakGlassView,
  decisionCallView,
  restoreCleanedView,
  restoreEndView,
  restoreStepsView,
} from './restore-notes.ts';
import { restoreView } from './restore.ts';
import { verifyView } from './verify.ts';
import { retentionQuestionView, retentionTroubleView } from './retention-notes.ts';

export interface MessageSurroundings {
  /** Where the message stands. */
  readonly channel: string;
  readonly command: string;
  readonly oncall: string | undefined;
}

export function renderMessage(state: MessageState, { channel, command, oncall }: MessageSurroundings): MessageView {
  switch (state.kind) {
    case 'backup':
      return backupView(state, { movedFrom: movedFrom(state.origin, channel) });
    case 'backup-alert':
      return backupAlertView(state.backup, oncall);
    case 'restore':
      return restoreView(state, { command, movedFrom: movedFrom(state.request?.origin, channel) });
    case 'restore-steps':
      return restoreStepsView(state.restore);
    case 'restore-cleaned':
      return restoreCleanedView(state.restore);
    case 'restore-break-glass':
      return breakGlassView(state.request, oncall);
    case 'restore-decision':
      return decisionCallView(state.request);
    case 'restore-end':
      return restoreEndView(state.restore);
    case 'verify':
      return verifyView(state, { movedFrom: movedFrom(state.origin, channel) });
    case 'copy-damaged':
      return damageView(state, { oncall, command });
    case 'scrub-behind':
      return scrubBehindView(state.behind);
    case 'enrol-anew':
      return enrolCallView(state);
    case 'retention-question':
      return retentionQuestionView(state, command);
    case 'retention-trouble':
      return retentionTroubleView(state, command);
    case 'hold':
      return holdView(state);
  }
}

/** The channel of the one who asked, when the message had to go to another one instead. */
function movedFrom(origin: { readonly channel: string } | undefined, channel: string): string | undefined {
  return origin === undefined || origin.channel === channel ? undefined : origin.channel;
}
