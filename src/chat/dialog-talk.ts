/** Owns what is answered inside dialogs: forms that were sent, choices made in them, and searches. */
import type { ModalView, PlainTextOption } from '@slack/types';
import type { StepUpAnswer } from '../commands/step-up.ts';
import type { Problem } from '../domain/error.ts';
import { actor, explain, gone, parseValue, problemOf, textOf } from './asking.ts';
import type { CarriedValue } from './asking.ts';
import { channelLink, message, mrk, section } from './blocks.ts';
import type { MessageView, Mrkdwn } from './blocks.ts';
import { enrolKey } from './message-state.ts';
import type { EnrolCall } from './message-state.ts';
import { about, PATIENCE_MS, soon } from './form-answer.ts';
import type { Submission, SubmissionAnswer } from './form-answer.ts';
import { typedIn } from './modal-blocks.ts';
import type { ChosenOption } from './modal-blocks.ts';
import { remember } from './remember.ts';
import { approvedText, changeView } from './restore-talk.ts';
import type { RestoreTalkOptions } from './restore-talk.ts';
import { dialogValueOf, SNAPSHOT_DIALOG_CLICKS, SNAPSHOT_FORMS } from './snapshot-talk.ts';
import { problemView } from './views/answers.ts';
import { answerDialog, BOOK_PAGER, saidDialog, waitDialog } from './views/dialogs.ts';
import { AGREE_FORM, askedAnewText, confirmAgainForm, agreeForm, ENROL_ACTIONS, ENROL_FORM } from './views/enrol.ts';
import {
  askedText,
  FORM_FIELDS,
  isForeign,
  openAlreadyText,
  readForm,
  RESTORE_FORM,
  restoreFormView,
  snapshotOption,
} from './views/restore-form.ts';
import type { FilledForm, FormFacts } from './views/restore-form.ts';
import { CODE_FIELD, CODE_FORM, codeForm, DENY_FORM, denyForm, REASON_FIELD } from './views/review-forms.ts';

/** A button or a choice in a dialog. */
export interface DialogClick {
  readonly actionId: string;
  readonly value: string;
  readonly chosen: ChosenOption | undefined;
  readonly metadata: string;
  readonly user: string;
}

export interface Search {
  readonly query: string;
  readonly metadata: string;
  readonly user: string;
}

// ── Forms that were sent ─────────────────────────────────────────────────────────────────────────────────────────────

/** Never throws, and answers within two seconds. */
export async function answerForm(options: RestoreTalkOptions, form: Submission): Promise<SubmissionAnswer> {
  try {
    const answer = FORMS[form.callback];
    if (answer === undefined) throw gone();
    return await answer(options, form);
  } catch (error) {
    return { now: { kind: 'show', view: answerDialog('Keyturn', explain(options, error, about(form))) } };
  }
}

type FormHandler = (options: RestoreTalkOptions, form: Submission) => Promise<SubmissionAnswer>;

const FORMS: Readonly<Record<string, FormHandler>> = {
  [RESTORE_FORM]: askForRestore,
  [DENY_FORM]: deny,
  [CODE_FORM]: approveWithCode,
  [ENROL_FORM]: confirmEnrolment,
  [AGREE_FORM]: agreeToEnrol,
  ...SNAPSHOT_FORMS,
};

function metadataOf({ metadata }: { readonly metadata: string }): CarriedValue {
  const value = parseValue(metadata);
  if (value === undefined) throw gone();
  return value;
}

async function askForRestore(options: RestoreTalkOptions, form: Submission): Promise<SubmissionAnswer> {
  const facts = metadataOf(form) as unknown as FormFacts;
  const filled = readForm(facts, form.values);
  if ('errors' in filled) return { now: { kind: 'errors', errors: filled.errors } };
  if ('confirm' in filled) return { now: { kind: 'show', view: restoreFormView(facts, filled.confirm) } };
  const view = waitDialog('Restore', mrk`Making the plan: every node is looked at. Nothing is touched.`);
  const later = requestIt(options, form, facts, filled)
    .then((words) => message(words, [section(words)]))
    .catch((error: unknown) => explain(options, error, about(form)))
    .then((words) => ({ view: answerDialog('Restore', words), words }));
  return { now: { kind: 'show', view }, later };
}

async function requestIt(
  options: RestoreTalkOptions,
  { user }: Submission,
  { cluster, channel }: FormFacts,
  filled: FilledForm,
): Promise<Mrkdwn> {
  const person = await actor(options, user, 'restore');
  const origin = { channel, user };
  const answer = await options.commands.requestRestore(person, { ...filled, cluster, origin });
  if (answer.kind === 'open-already') return openAlreadyText(answer.request);
  return askedText(answer.request, channelLink(channel.startsWith('D') ? options.channels.results : channel));
}

async function deny(options: RestoreTalkOptions, form: Submission): Promise<SubmissionAnswer> {
  const { request, digest } = reviewOf(form);
  const reason = typedIn(form.values, REASON_FIELD);
  if (reason === '') return { now: { kind: 'errors', errors: { [REASON_FIELD]: 'Say why.' } } };
  const work = options.commands.denyRestore({ request, digest, user: form.user, reason });
  return soon(options, form, work, {
    title: 'Deny the restore',
    words: (answer) => changeView(answer, () => mrk`🚫 Denied: nothing is restored.`),
    isDone: (answer) => answer.kind === 'changed',
    again: (problem) => denyForm({ request, digest }, problem),
    field: REASON_FIELD,
    problemOf: (answer) =>
      answer.kind === 'refused' && answer.problem.code === 'request.invalid' ? answer.problem : undefined,
  });
}

async function approveWithCode(options: RestoreTalkOptions, form: Submission): Promise<SubmissionAnswer> {
  const { request, digest } = reviewOf(form);
  const work = options.commands.approveRestore({ request, digest, user: form.user, code: codeIn(form) });
  return soon(options, form, work, {
    title: 'Approve the restore',
    words: (answer) => changeView(answer, approvedText),
    isDone: () => false,
    again: (problem) => codeForm({ request, digest }, problem),
    field: CODE_FIELD,
    problemOf: (answer) => (answer.kind === 'refused' ? codeProblem(answer.problem) : undefined),
  });
}

async function confirmEnrolment(options: RestoreTalkOptions, form: Submission): Promise<SubmissionAnswer> {
  return soon(options, form, options.commands.confirmEnrolment(form.user, codeIn(form)), {
    title: 'One-time codes',
    words: (answer) => stepUpView(answer, mrk`✓ From now on your approvals want a code of this authenticator.`),
    isDone: () => false,
    again: confirmAgainForm,
    field: CODE_FIELD,
    problemOf: (answer) => (answer.kind === 'refused' ? codeProblem(answer.problem) : undefined),
  });
}

async function agreeToEnrol(options: RestoreTalkOptions, form: Submission): Promise<SubmissionAnswer> {
  const value = metadataOf(form);
  const call = { user: textOf(value, 'user'), askedAt: textOf(value, 'askedAt') };
  const work = options.commands.agreeToEnrolAnew({ user: call.user, by: form.user, code: codeIn(form) });
  const told = work.then(async (answer) => {
    if (answer.kind === 'done') await tellAgreed(options, call, form.user);
    return answer;
  });
  return soon(options, form, told, {
    title: 'Agree to enrol anew',
    words: (answer) => stepUpView(answer, mrk`✓ Agreed.`),
    isDone: () => false,
    again: (problem) => agreeForm(call, problem),
    field: CODE_FIELD,
    problemOf: (answer) => (answer.kind === 'refused' ? codeProblem(answer.problem) : undefined),
  });
}

async function tellAgreed(
  options: RestoreTalkOptions,
  { user, askedAt }: { readonly user: string; readonly askedAt: string },
  agreedBy: string,
): Promise<void> {
  await remember<EnrolCall>(options, enrolKey(user, askedAt), (call) =>
    call === undefined || call.agreedBy !== undefined ? call : { ...call, agreedBy },
  );
}

function reviewOf(form: Submission): { readonly request: string; readonly digest: string } {
  const value = metadataOf(form);
  return { request: textOf(value, 'request'), digest: textOf(value, 'digest') };
}

/** As authenticators show it, with or without a gap in the middle. */
function codeIn({ values }: Submission): string {
  return typedIn(values, CODE_FIELD).replace(/\s/g, '');
}

const CODE_PROBLEMS: ReadonlySet<Problem['code']> = new Set([
  'step-up.wrong-code',
  'step-up.used-code',
  'step-up.locked',
  'step-up.not-enrolled',
  'review.code-needed',
]);

/** What another code, or enrolling, could help against belongs to the field. */
function codeProblem(problem: Problem): Problem | undefined {
  return CODE_PROBLEMS.has(problem.code) ? problem : undefined;
}

function stepUpView(answer: StepUpAnswer, done: Mrkdwn): MessageView {
  return answer.kind === 'refused' ? problemView(answer.problem) : message(done, [section(done)]);
}

// ── Choices and searches ─────────────────────────────────────────────────────────────────────────────────────────────

/** The dialog as it is now; undefined: it stays. Never throws. */
export async function answerDialogClick(
  options: RestoreTalkOptions,
  click: DialogClick,
): Promise<ModalView | undefined> {
  const { actionId, user } = click;
  try {
    const ofSnapshot = SNAPSHOT_DIALOG_CLICKS[actionId];
    if (ofSnapshot !== undefined) return await ofSnapshot(options, user, dialogValueOf(click.value));
    switch (actionId) {
      case FORM_FIELDS.snapshot:
        return restoreFormView(
          metadataOf(click) as unknown as FormFacts,
          isForeign(click.chosen) ? click.chosen : undefined,
        );
      case `${BOOK_PAGER}.previous`:
      case `${BOOK_PAGER}.next`:
        return await turnPage(options, click);
      case ENROL_ACTIONS.anew:
        return await askAnew(options, user);
      default:
        return undefined;
    }
  } catch (error) {
    return answerDialog('Keyturn', explain(options, error, { actionId, user }));
  }
}

async function turnPage({ books }: RestoreTalkOptions, { value, user }: DialogClick): Promise<ModalView> {
  const carried = parseValue(value);
  if (carried === undefined) throw gone();
  const [request, at] = [textOf(carried, 'request'), textOf(carried, 'at')];
  const book = textOf(carried, 'book') === 'audit' ? 'audit' : 'plan';
  return books(user, { book, request, at }, Number(carried['page']));
}

/** Other approvers are called: one of them has to agree. */
async function askAnew(options: RestoreTalkOptions, user: string): Promise<ModalView> {
  const answer = await options.commands.askToEnrolAnew(user);
  if (answer.kind === 'refused') return answerDialog('One-time codes', problemView(answer.problem));
  const askedAt = options.clock.now().toISOString();
  const approvers = options.people.approve;
  await remember<EnrolCall>(
    options,
    enrolKey(user, askedAt),
    (call) => call ?? { kind: 'enrol-anew', user, askedAt, approvers, agreedBy: undefined },
  );
  return saidDialog('One-time codes', askedAnewText(options.command));
}

/** Options of the search for a snapshot; none when it takes too long. Never throws. */
export async function answerSearch(options: RestoreTalkOptions, search: Search): Promise<PlainTextOption[]> {
  const timer = new AbortController();
  const late = options.clock.sleep(PATIENCE_MS, timer.signal).then(
    () => [],
    () => [],
  );
  try {
    return await Promise.race([found(options, search), late]);
  } catch (error) {
    problemOf(options, error, { search: search.query, user: search.user });
    return [];
  } finally {
    timer.abort();
  }
}

async function found(options: RestoreTalkOptions, search: Search): Promise<PlainTextOption[]> {
  const { commands, clock } = options;
  const cluster = textOf(metadataOf(search), 'cluster');
  // Asked with every letter that is typed; the form itself is decided on fresh facts.
  const person = await actor(options, search.user, 'restore', false);
  const snapshots = await commands.findSnapshots(person, cluster, search.query);
  const now = clock.now();
  return snapshots.slice(0, 100).map((record) => snapshotOption(record, cluster, now));
}
