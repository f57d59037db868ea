/** Owns what is answered around restores to commands, and to the buttons of messages. */
import type { ModalView } from '@slack/types';
import type { Request } from '../commands/parse.ts';
import type { Decision, RestoreRequest } from '../domain/restore-request.ts';
import type { ChangeAnswer } from '../commands/restore-commands.ts';
import { actor, textOf } from './asking.ts';
import type { CarriedValue, Speaker, TalkOptions } from './asking.ts';
import { bold, code, message, mrk, plain, section } from './blocks.ts';
import type { MessageView, Mrkdwn } from './blocks.ts';
import type { Books } from './books.ts';
import { inDialog } from './in-dialog.ts';
import { APPROVALS_PAGER, approvalsView, CLEANUP_ACTION, cleanupQueuedView, cleanupView } from './views/approvals.ts';
import { problemView } from './views/answers.ts';
import { answerDialog, saidDialog } from './views/dialogs.ts';
import type { BookValue } from './views/dialogs.ts';
import { agreeForm, ENROL_ACTIONS, haveCodesView, secretForm } from './views/enrol.ts';
import { factsOf, openAlreadyText, restoreFormView } from './views/restore-form.ts';
import { approvalCount, DECISIONS, RESTORE_ACTIONS, standingLine } from './views/restore-phrases.ts';
import type { RestoreValue } from './views/restore-phrases.ts';
import { codeForm, denyForm } from './views/review-forms.ts';

export interface RestoreTalkOptions extends TalkOptions {
  readonly books: Books;
}

export interface Click extends Speaker {
  readonly actionId: string;
  /** What the button carries. */
  readonly value: string;
}

/** `replace`: the message with the button becomes this; else it is a new one that only the clicker sees. */
export interface ClickAnswer {
  readonly view: MessageView;
  readonly replace: boolean;
}

// ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export type RestoreWords =
  | { readonly action: 'approvals' | 'enrol' }
  | { readonly action: 'restore'; readonly cluster: string }
  | Extract<Request, { readonly action: 'runbook' }>
  | Extract<Request, { readonly action: 'audit' | 'cleanup' }>;

/** Undefined: a dialog says it. */
export async function obeyRestore(
  options: RestoreTalkOptions,
  request: RestoreWords,
  speaker: Speaker,
): Promise<MessageView | undefined> {
  const { commands } = options;
  const { user } = speaker;
  switch (request.action) {
    case 'restore':
      return inDialog(options, speaker, 'Restore', () => askedForm(options, request.cluster, speaker));
    case 'approvals':
      return approvalsView(await commands.listApprovals(user), 0);
    case 'runbook':
      return giveRunbook(options, request, user);
    case 'audit':
      return inDialog(options, speaker, 'Audit', () => openBook(options, user, 'audit', request.request));
    case 'cleanup':
      return cleanupView(await commands.offerCleanup(await actor(options, user, 'cleanup'), request.request));
    case 'enrol':
      return inDialog(options, speaker, 'One-time codes', () => enrolment(options, user));
  }
}

async function askedForm(options: RestoreTalkOptions, cluster: string, speaker: Speaker): Promise<ModalView> {
  const form = await options.commands.restoreForm(await actor(options, speaker.user, 'restore'), cluster);
  if (form.open !== undefined) return saidDialog('Restore', openAlreadyText(form.open));
  return restoreFormView(factsOf(form, speaker.channel, options.clock.now()));
}

function openBook(
  options: RestoreTalkOptions,
  user: string,
  book: BookValue['book'],
  request: string,
): Promise<ModalView> {
  return options.books(user, { book, request, at: options.clock.now().toISOString() }, 0);
}

/** For the day the bot is not there: a file can be kept. */
async function giveRunbook(
  options: RestoreTalkOptions,
  request: Extract<RestoreWords, { readonly action: 'runbook' }>,
  user: string,
): Promise<MessageView> {
  const { commands, screen } = options;
  const person = await actor(options, user, 'runbook');
  const { snapshot, text } = await commands.showRunbook(person, request.cluster, request.snapshot);
  const name = `restore-${request.cluster}-${snapshot.id}.md`;
  await screen.giveFile(user, { name, title: `Restore of ${request.cluster} from ${snapshot.id}`, text });
  const line = mrk`📄 The runbook to restore ${bold(request.cluster)} from ${code(snapshot.id)} is in our private conversation. It needs no bot: keep it where you can read it when the cluster is down.`;
  return message(line, [section(line)]);
}

async function enrolment({ commands }: RestoreTalkOptions, user: string): Promise<ModalView> {
  const answer = await commands.beginEnrolment(user);
  if (answer.kind === 'secret') return secretForm(answer);
  const { problem } = answer;
  if (problem.code === 'step-up.not-now') return haveCodesView(problem);
  return answerDialog('One-time codes', problemView(problem));
}

// ── Buttons of messages ──────────────────────────────────────────────────────────────────────────────────────────────

/** Undefined: a dialog says it. */
export type ClickHandler<O extends TalkOptions> = (
  options: O,
  click: Click,
  value: CarriedValue,
) => Promise<ClickAnswer | undefined>;

export const RESTORE_CLICKS: Readonly<Record<string, ClickHandler<RestoreTalkOptions>>> = {
  [RESTORE_ACTIONS.approve]: approve,
  [RESTORE_ACTIONS.deny]: async ({ screen }, { trigger }, value) => {
    await screen.open(trigger, denyForm(carried(value)));
    return undefined;
  },
  [RESTORE_ACTIONS.takeBack]: async ({ commands }, { user }, value) =>
    said(await commands.takeBackApproval({ ...carried(value), user }), () => mrk`↩️ Your approval is taken back.`),
  [RESTORE_ACTIONS.withdraw]: async ({ commands }, { user }, value) =>
    said(
      await commands.withdrawRestore({ request: carried(value).request, user }),
      () => mrk`🚫 Withdrawn: nothing is restored.`,
    ),
  [RESTORE_ACTIONS.stop]: async ({ commands }, { user }, value) =>
    said(
      await commands.cancelRestore({ request: carried(value).request, user }),
      () => mrk`✋ Asked to stop. It stops as soon as that is safe; its message says how.`,
    ),
  [RESTORE_ACTIONS.retry]: decide('retry'),
  [RESTORE_ACTIONS['roll-back']]: decide('roll-back'),
  [RESTORE_ACTIONS['give-up']]: decide('give-up'),
  [RESTORE_ACTIONS.plan]: async (options, click, value) =>
    inDialog(options, click, 'Plan', () => openBook(options, click.user, 'plan', carried(value).request)),
  [CLEANUP_ACTION]: cleanUp,
  [`${APPROVALS_PAGER}.previous`]: turnApprovals,
  [`${APPROVALS_PAGER}.next`]: turnApprovals,
  [ENROL_ACTIONS.agree]: async ({ screen }, { trigger }, value) => {
    await screen.open(trigger, agreeForm({ user: textOf(value, 'user'), askedAt: textOf(value, 'askedAt') }));
    return undefined;
  },
};

function carried(value: CarriedValue): RestoreValue {
  return { request: textOf(value, 'request'), digest: textOf(value, 'digest') };
}

async function approve(
  { commands, screen }: RestoreTalkOptions,
  { user, trigger }: Click,
  value: CarriedValue,
): Promise<ClickAnswer | undefined> {
  const review = carried(value);
  if (value['code'] !== true) {
    const answer = await commands.approveRestore({ request: review.request, digest: review.digest, user });
    if (answer.kind !== 'refused' || answer.problem.code !== 'review.code-needed') return said(answer, approvedText);
  }
  await screen.open(trigger, codeForm(review));
  return undefined;
}

export function approvedText(request: RestoreRequest): Mrkdwn {
  return request.state === 'pending'
    ? mrk`✓ Your approval counts: ${approvalCount(request)}.`
    : mrk`✓ Your approval counts: ${approvalCount(request)}. The restore of ${bold(request.cluster)} starts in a moment.`;
}

function decide(what: Decision): ClickHandler<RestoreTalkOptions> {
  return async ({ commands }, { user }, value) =>
    said(
      await commands.decideRestore({ request: carried(value).request, user, what }),
      () => mrk`▶️ *${plain(DECISIONS[what].label)}*: ${plain(DECISIONS[what].does)}. Its message says how it goes.`,
    );
}

async function cleanUp(options: RestoreTalkOptions, click: Click, value: CarriedValue): Promise<ClickAnswer> {
  const { user, channel } = click;
  await options.commands.cleanUp(await actor(options, user, 'cleanup'), textOf(value, 'request'), { user, channel });
  return { view: cleanupQueuedView(), replace: true };
}

async function turnApprovals(
  { commands }: RestoreTalkOptions,
  { user }: Click,
  value: CarriedValue,
): Promise<ClickAnswer> {
  return { view: approvalsView(await commands.listApprovals(user), Number(value['page'])), replace: true };
}

// ── What became of a change ──────────────────────────────────────────────────────────────────────────────────────────

/** Everybody sees the change in the request's message; the one who clicked gets a word besides. */
function said(answer: ChangeAnswer, words: (request: RestoreRequest) => Mrkdwn): ClickAnswer {
  return { view: changeView(answer, words), replace: false };
}

/** A refusal says how the request stands, so an old button is answered too. */
export function changeView(answer: ChangeAnswer, words: (request: RestoreRequest) => Mrkdwn): MessageView {
  if (answer.kind === 'changed') {
    const line = words(answer.request);
    return message(line, [section(line)]);
  }
  const { text, blocks } = problemView(answer.problem);
  if (answer.request === undefined) return { text, blocks };
  const standing = standingLine(answer.request);
  return message(mrk`${text}\n${standing}`, [...blocks, section(standing)]);
}
