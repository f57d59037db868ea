/** Owns what is answered around stored snapshots: the list, the details of one, holds, and the way from there to a restore. */
import type { ModalView } from '@slack/types';
import { parseEnd } from '../commands/hold-words.ts';
import type { ReleaseWish } from '../commands/hold-snapshot.ts';
import type { HoldEnd } from '../commands/hold-words.ts';
import type { Request } from '../commands/parse.ts';
import { isSnapshotName } from '../commands/snapshot-filter.ts';
import { KeyturnError } from '../domain/error.ts';
import type { Origin } from '../domain/job.ts';
import { actor, parseValue, gone, textOf } from './asking.ts';
import type { CarriedValue, Speaker, TalkOptions } from './asking.ts';
import type { MessageView, Mrkdwn } from './blocks.ts';
import { soon } from './form-answer.ts';
import type { Submission, SubmissionAnswer } from './form-answer.ts';
import { inDialog } from './in-dialog.ts';
import { typedIn } from './modal-blocks.ts';
import type { Click, ClickAnswer, ClickHandler } from './restore-talk.ts';
import { verifyAnswerView } from './views/answers.ts';
import { saidDialog } from './views/dialogs.ts';
import { holdAnswerView, RELEASE_ACTION, releaseQuestionView } from './views/hold-phrases.ts';
import { factsOf, openAlreadyText, restoreFormView } from './views/restore-form.ts';
import { HOLD_FIELDS, HOLD_FORM, holdForm, SNAPSHOT_ACTIONS, snapshotDialog } from './views/snapshot-details.ts';
import type { DialogValue } from './views/snapshot-details.ts';
import { DETAILS_ACTION, SNAPSHOTS_PAGER, snapshotsView } from './views/snapshots.ts';

export type SnapshotWords = Extract<Request, { readonly action: 'snapshots' | 'hold' | 'release' }>;

/** Undefined: a dialog says it. */
export async function obeySnapshots(
  options: TalkOptions,
  request: SnapshotWords,
  speaker: Speaker,
): Promise<MessageView | undefined> {
  const { commands } = options;
  const { user, channel } = speaker;
  switch (request.action) {
    case 'snapshots': {
      const { cluster, words } = request;
      const [only = ''] = words;
      if (words.length === 1 && isSnapshotName(only))
        return inDialog(options, speaker, 'Snapshot', () =>
          details(options, user, { cluster, snapshot: only, channel }),
        );
      return snapshotsView(await list(options, user, cluster, words, 0));
    }
    case 'hold': {
      const { cluster, snapshot, reason } = request;
      const person = await actor(options, user, 'hold', reason !== '');
      if (reason !== '') return holdAnswerView(await commands.holdSnapshot(person, request, { user, channel }));
      await options.screen.open(speaker.trigger, holdForm({ cluster, snapshot, channel }));
      return undefined;
    }
    case 'release':
      return release(options, { ...request, isConfirmed: false }, { user, channel });
  }
}

async function release(options: TalkOptions, wish: ReleaseWish, origin: Origin): Promise<MessageView> {
  const person = await actor(options, origin.user, 'release');
  const answer = await options.commands.releaseSnapshot(person, wish, origin);
  return 'change' in answer ? holdAnswerView(answer) : releaseQuestionView(answer);
}

async function list(options: TalkOptions, user: string, cluster: string, filters: readonly string[], page: number) {
  return options.commands.listSnapshots(await actor(options, user, 'snapshots'), { cluster, filters, page });
}

/** Asked with all groups: which buttons there are depends on what the person may do. */
async function details(
  options: TalkOptions,
  user: string,
  { channel, ...wanted }: DialogValue,
  said?: Mrkdwn,
): Promise<ModalView> {
  const person = await actor(options, user, 'help');
  return snapshotDialog(await options.commands.showSnapshot(person, wanted), channel, said);
}

// ── Buttons of messages ──────────────────────────────────────────────────────────────────────────────────────────────

export const SNAPSHOT_CLICKS: Readonly<Record<string, ClickHandler<TalkOptions>>> = {
  [`${SNAPSHOTS_PAGER}.previous`]: turn,
  [`${SNAPSHOTS_PAGER}.next`]: turn,
  [DETAILS_ACTION]: (options, click, value) =>
    inDialog(options, click, 'Snapshot', () =>
      details(options, click.user, { ...snapshotOf(value), channel: click.channel }),
    ),
  [RELEASE_ACTION]: async (options, { user, channel }, value) => ({
    view: await release(options, { ...snapshotOf(value), isConfirmed: true }, { user, channel }),
    replace: true,
  }),
};

async function turn(options: TalkOptions, { user }: Click, value: CarriedValue): Promise<ClickAnswer> {
  const words = value['filters'];
  const filters = Array.isArray(words) ? words.map(String) : [];
  const report = await list(options, user, textOf(value, 'cluster'), filters, Number(value['page']));
  return { view: snapshotsView(report), replace: true };
}

function snapshotOf(value: CarriedValue): { readonly cluster: string; readonly snapshot: string } {
  return { cluster: textOf(value, 'cluster'), snapshot: textOf(value, 'snapshot') };
}

// ── In the dialog ────────────────────────────────────────────────────────────────────────────────────────────────────

/** By action: the dialog as it is then. */
export const SNAPSHOT_DIALOG_CLICKS: Readonly<
  Record<string, (options: TalkOptions, user: string, value: DialogValue) => Promise<ModalView>>
> = {
  [SNAPSHOT_ACTIONS.hold]: async (_options, _user, value) => holdForm(value),
  [SNAPSHOT_ACTIONS.release]: async (options, user, value) => {
    // Slack has asked before the click counted.
    const said = await release(options, { ...value, isConfirmed: true }, { user, channel: value.channel });
    return details(options, user, value, said.text);
  },
  [SNAPSHOT_ACTIONS.verify]: async (options, user, value) => {
    const person = await actor(options, user, 'verify');
    const answer = await options.commands.requestVerify(person, { ...value, isClicked: true });
    return details(options, user, value, verifyAnswerView(answer).text);
  },
  [SNAPSHOT_ACTIONS.restore]: async (options, user, value) => {
    const person = await actor(options, user, 'restore');
    const [form, { record }] = await Promise.all([
      options.commands.restoreForm(person, value.cluster),
      options.commands.showSnapshot(person, value),
    ]);
    if (form.open !== undefined) return saidDialog('Restore', openAlreadyText(form.open));
    return restoreFormView(factsOf({ ...form, newest: record ?? form.newest }, value.channel, options.clock.now()));
  },
};

export function dialogValueOf(json: string): DialogValue {
  const value = parseValue(json);
  if (value === undefined) throw gone();
  return { ...snapshotOf(value), channel: textOf(value, 'channel') };
}

export const SNAPSHOT_FORMS: Readonly<
  Record<string, (options: TalkOptions, form: Submission) => Promise<SubmissionAnswer>>
> = { [HOLD_FORM]: holdIt };

async function holdIt(options: TalkOptions, form: Submission): Promise<SubmissionAnswer> {
  const value = parseValue(form.metadata);
  if (value === undefined) throw gone();
  const cluster = value['cluster'] === undefined ? undefined : textOf(value, 'cluster');
  const snapshot = textOf(value, 'snapshot');
  const reason = typedIn(form.values, HOLD_FIELDS.reason);
  if (reason === '') return { now: { kind: 'errors', errors: { [HOLD_FIELDS.reason]: 'Say why.' } } };
  const end = endIn(form);
  if ('error' in end) return { now: { kind: 'errors', errors: { [HOLD_FIELDS.end]: end.error } } };
  const origin = { user: form.user, channel: textOf(value, 'channel') };
  const work = actor(options, form.user, 'hold').then((person) =>
    options.commands.holdSnapshot(person, { cluster, snapshot, reason, end: end.value }, origin),
  );
  return soon(options, form, work, {
    title: 'Hold a snapshot',
    words: holdAnswerView,
    isDone: () => false,
    again: () => holdForm({ cluster, snapshot, channel: origin.channel }),
    field: HOLD_FIELDS.reason,
    problemOf: () => undefined,
  });
}

function endIn(form: Submission): { readonly value: HoldEnd | undefined } | { readonly error: string } {
  try {
    return { value: parseEnd(typedIn(form.values, HOLD_FIELDS.end)) };
  } catch (error) {
    if (error instanceof KeyturnError) return { error: `${error.message} ${error.hint}` };
    throw error;
  }
}
