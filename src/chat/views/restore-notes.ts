/** Owns the messages beside a restore's own: its steps, its calls for people, and how it ended. Pure. */
import type { RestoreMessage } from '../../domain/restore-message.ts';
import type { RestoreSummary } from '../../domain/restore-summary.ts';
import { bold, channelLink, code, fit, join, lines, mention, message, mrk, section } from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { waitingText } from './restore.ts';
import { askedLine, lossText, reasonOfEnd, reasonText, standingLine } from './restore-phrases.ts';
import { stepLines } from './restore-progress.ts';
import { cleanedLines, restoredText, whyText } from './restore-report.ts';

/** In the thread, edited as it goes: a line a node and phase. */
export function restoreStepsView(state: RestoreMessage): MessageView {
  const title = mrk`⏱️ ${bold(state.cluster)} · every step of restore ${code(state.operation)}`;
  const all = stepLines(state);
  return message(join([title, ...all], '\n'), [section(title), ...lines(all)]);
}

/** In the alerts channel: somebody asked with fewer approvals than usual. An edit would ring nobody's bell. */
export function breakGlassView(request: RestoreSummary, oncall: string | undefined): MessageView {
  const call = oncall === undefined ? undefined : mention(oncall);
  const line = mrk`🚨 *BREAK-GLASS:* ${askedLine(request)}`;
  const where = mrk`The request stands in ${channelLink(request.origin.channel)}. If you know nothing of an emergency, deny it there.`;
  const first = join([call, line], ' ');
  return message(join([first, reasonText(request), where], '\n'), [
    section(first),
    section(reasonText(request)),
    section(lossText(request)),
    section(where),
  ]);
}

/** In the thread: the restore stands still until somebody says how it goes on. */
export function decisionCallView(request: RestoreSummary): MessageView {
  const who = join([request.requester.id, ...request.groups].map(mention), ' ');
  const line = mrk`✋ ${who} the restore of ${bold(request.cluster)} stands still and waits for one of you. The buttons are in its message.`;
  const text = join([line, waitingText(request)], '\n');
  return message(text, [section(fit(text, 2900))]);
}

/** How it ended, in two or three lines: a new message, in the thread and to everyone who had a part in it. */
export function restoreEndView(state: RestoreMessage): MessageView {
  const { request } = state;
  if (request === undefined) return restoreStepsView(state);
  const text = fit(join([standingLine(request), endText(state, request), where(request)], '\n'), 2900);
  return message(text, [section(text)]);
}

function endText(state: RestoreMessage, request: RestoreSummary): Mrkdwn | undefined {
  if (request.state === 'succeeded') return restoredText(state);
  if (request.state !== 'rolled-back' && request.state !== 'failed') return reasonOfEnd(request);
  const undone = state.ended?.report.outcome === 'undone';
  return join([WHAT_NOW[undone ? 'undone' : request.state], whyText(state)], '\n');
}

const WHAT_NOW = {
  undone: mrk`Nothing was changed; the cluster serves what it had.`,
  'rolled-back': mrk`The old data serve again.`,
  failed: mrk`*It is not known whether the cluster serves.* Its message says what to do now.`,
} as const;

function where({ origin }: RestoreSummary): Mrkdwn {
  return mrk`Its message: ${channelLink(origin.channel)}`;
}

export function restoreCleanedView(state: RestoreMessage): MessageView {
  const all = state.cleaned === undefined ? [mrk`🧹 ${bold(state.cluster)}`] : cleanedLines(state.cleaned);
  return message(join(all, '\n'), lines(all));
}
