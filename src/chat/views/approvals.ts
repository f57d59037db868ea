/** Owns how the restores that wait or run are listed for one person, and what a clean-up would remove. Pure. */
import type { Button, KnownBlock } from '@slack/types';
import type { ApprovalsReport, WaitingRequest } from '../../commands/list-approvals.ts';
import type { CleanupOffer } from '../../commands/restore-commands.ts';
import {
  actions,
  bold,
  button,
  confirmation,
  context,
  date,
  join,
  lines,
  message,
  mrk,
  pageOf,
  pager,
  plain,
  plural,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import {
  approvalsLine,
  askedLine,
  BUTTONS,
  digestText,
  lossText,
  reasonText,
  standingLine,
} from './restore-phrases.ts';
import { pathsLine } from './restore-report.ts';

export const APPROVALS_PAGER = 'approvals';
export const CLEANUP_ACTION = 'restore.cleanup';
const REQUESTS_A_PAGE = 4;

export function approvalsView({ waiting }: ApprovalsReport, page: number): MessageView {
  if (waiting.length === 0) {
    const none = mrk`🔑 No restore waits or runs.`;
    return message(none, [section(none)]);
  }
  const shown = pageOf(waiting, page, REQUESTS_A_PAGE);
  const title = approvalsTitle(waiting);
  return message(join([title, ...shown.items.map(({ request }) => standingLine(request))], '\n'), [
    section(title),
    ...shown.items.flatMap(entry),
    ...pager(APPROVALS_PAGER, shown.page, shown.pages, {}),
  ]);
}

/** `2 restores are open, 1 waits for your review.` */
export function approvalsTitle(waiting: readonly WaitingRequest[]): Mrkdwn {
  const mine = waiting.filter(({ can }) => can.includes('approve')).length;
  const yours = mine === 0 ? mrk`none waits for your review` : mrk`*${plural(mine, 'waits', 'wait')} for your review*`;
  return mrk`🔑 *${plural(waiting.length, 'restore is', 'restores are')} open*, ${yours}.`;
}

function entry({ request, you, can, endsAt }: WaitingRequest): KnownBlock[] {
  const buttons: Button[] = [...can.map((action) => BUTTONS[action](request)), BUTTONS.plan(request)];
  return [
    section(
      join(
        [standingLine(request), askedLine(request), reasonText(request), lossText(request), approvalsLine(request)],
        '\n',
      ),
    ),
    context(
      join([
        youText(you),
        endsAt === undefined ? undefined : mrk`expires ${date(endsAt.toISOString())}`,
        digestText(request),
      ]),
    ),
    actions(buttons),
  ];
}

function youText(you: WaitingRequest['you']): Mrkdwn {
  if (you === 'review') return mrk`*it waits for your review*`;
  if (you === 'approved') return mrk`you approved it`;
  if (you === 'asked') return mrk`you asked for it`;
  return mrk`you have no say: ${plain(you.noSay, 200)}`;
}

export function cleanupView({ request, oldData }: CleanupOffer): MessageView {
  const title = mrk`🧹 This would be removed for good; ${bold(request.cluster)} can't go back to it then:`;
  const paths = oldData.map(pathsLine);
  const remove = button(
    CLEANUP_ACTION,
    'Remove the old data',
    { request: request.id },
    {
      style: 'danger',
      confirm: confirmation(
        'Remove the old data?',
        `What ${request.cluster} held before this restore is removed from its nodes. Nobody can bring it back.`,
        'Remove',
      ),
    },
  );
  return message(join([title, ...paths], '\n'), [
    section(title),
    ...lines(paths.length === 0 ? [mrk`• only the records of its steps: there are no old data`] : paths),
    context(standingLine(request)),
    actions([remove]),
  ]);
}

export function cleanupQueuedView(): MessageView {
  const line = mrk`🧹 The old data are removed in a moment; the restore's thread says what is gone.`;
  return message(line, [section(line)]);
}
