/** Owns the form by which a restore is asked for: what it shows, and what was filled in. Pure. */
import type { ModalView, PlainTextOption } from '@slack/types';
import type { RestoreForm } from '../../commands/restore-commands.ts';
import { sha256Of } from '../../domain/plan.ts';
import type { RestoreMode } from '../../domain/restore-policy.ts';
import { LONGEST_REASON } from '../../domain/restore-request.ts';
import type { RestoreRequest } from '../../domain/restore-request.ts';
import { isFound, isVerified } from '../../domain/snapshot.ts';
import type { SnapshotRecord } from '../../domain/snapshot.ts';
import { bold, bytes, context, count, duration, join, mention, mrk, plain, plural, section } from '../blocks.ts';
import {
  choiceField,
  chosenIn,
  isTicked,
  modal,
  option,
  personField,
  personIn,
  searchField,
  textField,
  tickField,
  typedIn,
} from '../modal-blocks.ts';
import type { ChosenOption, FormValues } from '../modal-blocks.ts';
import { standingLine } from './restore-phrases.ts';

export const RESTORE_FORM = 'restore.form';
export const FORM_FIELDS = {
  snapshot: 'snapshot',
  confirm: 'confirm',
  mode: 'mode',
  reason: 'reason',
  behalf: 'behalf',
  breakGlass: 'break-glass',
} as const;
const TITLE = 'Restore';

/** What the form needs to be shown again; Slack keeps it with the form. */
export interface FormFacts {
  readonly cluster: string;
  /** Where it was asked. */
  readonly channel: string;
  readonly mode: RestoreMode;
  readonly threshold: number;
  readonly groups: readonly string[];
  readonly needsCode: boolean;
  /** Approvals wanted in an emergency; undefined: there is no such way. */
  readonly breakGlass: number | undefined;
  readonly newest: PlainTextOption | undefined;
  /** Stores that could not be read. */
  readonly problems: readonly string[];
}

export function factsOf(form: RestoreForm, channel: string, now: Date): FormFacts {
  const { cluster, mode, approvals, newest, problems } = form;
  return {
    cluster,
    channel,
    mode,
    threshold: approvals.threshold,
    groups: approvals.groups.slice(0, 10),
    needsCode: approvals.stepUp === 'totp',
    breakGlass: approvals.breakGlass?.threshold,
    newest: newest && snapshotOption(newest, cluster, now),
    problems: problems.slice(0, 3).map(({ message }) => message.slice(0, 300)),
  };
}

/** `foreign`: what was chosen is a snapshot of another cluster, which has to be confirmed. */
export function restoreFormView(facts: FormFacts, foreign?: ChosenOption): ModalView {
  const { cluster, newest, problems, breakGlass } = facts;
  const none = newest === undefined ? [context(mrk`There is no snapshot of ${bold(cluster)} yet.`)] : [];
  return modal(
    TITLE,
    [
      section(introText(facts)),
      ...problems.map((problem) => context(mrk`⚠️ ${plain(problem)} What only it holds is missing here.`)),
      ...none,
      searchField(FORM_FIELDS.snapshot, {
        label: 'Snapshot',
        hint: 'The newest is chosen. Search by time, id or cluster.',
        initial: newest,
      }),
      ...(foreign === undefined ? [] : [confirmField(foreign)]),
      choiceField(FORM_FIELDS.mode, { label: 'How', options: MODE_OPTIONS, chosen: facts.mode }),
      textField(FORM_FIELDS.reason, {
        label: 'Why',
        hint: 'Approvers read it now, auditors later.',
        multiline: true,
        most: LONGEST_REASON,
      }),
      personField(FORM_FIELDS.behalf, {
        label: 'On behalf of',
        hint: "That person's approval does not count either.",
        optional: true,
      }),
      ...(breakGlass === undefined ? [] : [breakGlassField(breakGlass)]),
    ],
    { submit: 'Make the plan', close: 'Cancel', callback: RESTORE_FORM, metadata: facts },
  );
}

function introText({ cluster, threshold, groups, needsCode }: FormFacts): ReturnType<typeof mrk> {
  const who = groups.length === 0 ? mrk`` : mrk` of ${join(groups.map(mention), ', ')}`;
  const code = needsCode ? mrk`, each with a one-time code` : mrk``;
  return mrk`The plan for ${bold(cluster)} is made now, and nothing is touched. The restore starts once ${plural(threshold, 'approval')}${who} ${threshold === 1 ? mrk`is` : mrk`are`} given${code}; yours doesn't count.`;
}

function confirmField({ description }: ChosenOption): ReturnType<typeof textField> {
  return textField(FORM_FIELDS.confirm, {
    label: 'This snapshot is of another cluster. Type its name to confirm',
    hint: `It is ${description?.text.replace('⚠️ ', '') ?? 'named in the line of the snapshot'}.`,
    most: 80,
  });
}

const MODE_OPTIONS: readonly PlainTextOption[] = [
  option('all-members', 'Every member from the snapshot', 'the usual way: all come back at once'),
  option('one-member', 'One member, the others join it', 'for slow links to the store: one copy is fetched'),
];

function breakGlassField(threshold: number): ReturnType<typeof tickField> {
  return tickField(FORM_FIELDS.breakGlass, {
    label: 'Emergency',
    optional: true,
    options: [
      option(
        'yes',
        `🚨 Break the glass: ${threshold} ${threshold === 1 ? 'approval is' : 'approvals are'} enough`,
        'everyone is told, and it is in the audit',
      ),
    ],
  });
}

// ── Snapshots to choose from ─────────────────────────────────────────────────────────────────────────────────────────

/** `2026-11-21 06:00Z · 3 h 12 min ago · rev 88213 · 412 MB`, and beneath it of which cluster, where it is another. */
export function snapshotOption(record: SnapshotRecord, cluster: string, now: Date): PlainTextOption {
  const time = `${record.takenAt.slice(0, 16).replace('T', ' ')}Z`;
  const age = duration(now.getTime() - Date.parse(record.takenAt));
  const text = `${time} · ${age} ago · rev ${record.revisionBefore === '0' ? 'unknown' : record.revisionBefore} · ${bytes(record.size)}`;
  const verified = isVerified(record) ? 'verified' : 'not verified';
  const foreign = record.cluster !== cluster;
  const description = foreign
    ? `⚠️ of cluster ${record.cluster}`
    : `${record.id} · ${isFound(record) ? 'unknown' : count(record.keys)} keys · ${verified}`;
  return option(`${record.id}|${foreign ? fingerprint(record.cluster) : ''}`, text, description);
}

/** A name may be longer than what an option carries. */
function fingerprint(cluster: string): string {
  return sha256Of(cluster).slice(0, 16);
}

export function isForeign(chosen: ChosenOption | undefined): boolean {
  return !(chosen?.value ?? '').endsWith('|');
}

// ── What was filled in ───────────────────────────────────────────────────────────────────────────────────────────────

export interface FilledForm {
  readonly snapshot: { readonly cluster: string; readonly id: string };
  readonly mode: RestoreMode;
  readonly reason: string;
  readonly onBehalfOf: string | undefined;
  readonly breakGlass: boolean;
  readonly confirmedSnapshotOf: string | undefined;
}

/** The form as filled in; what has to be filled in otherwise, by field; or that it needs the field to confirm with. */
export function readForm(
  facts: FormFacts,
  values: FormValues,
): FilledForm | { readonly errors: Record<string, string> } | { readonly confirm: ChosenOption } {
  const chosen = chosenIn(values, FORM_FIELDS.snapshot);
  const [id = '', mark = ''] = (chosen?.value ?? '').split('|');
  const reason = typedIn(values, FORM_FIELDS.reason);
  if (chosen === undefined || id === '') return { errors: { [FORM_FIELDS.snapshot]: 'Choose a snapshot.' } };
  if (reason === '') return { errors: { [FORM_FIELDS.reason]: 'Say why: approvers and auditors read it.' } };
  const named = typedIn(values, FORM_FIELDS.confirm);
  const foreign = mark !== '';
  if (foreign && !(FORM_FIELDS.confirm in values)) return { confirm: chosen };
  if (foreign && fingerprint(named) !== mark) {
    return { errors: { [FORM_FIELDS.confirm]: 'Type the name of the cluster that this snapshot is of.' } };
  }
  return {
    snapshot: { cluster: foreign ? named : facts.cluster, id },
    mode: chosenIn(values, FORM_FIELDS.mode)?.value === 'one-member' ? 'one-member' : 'all-members',
    reason,
    onBehalfOf: personIn(values, FORM_FIELDS.behalf),
    breakGlass: isTicked(values, FORM_FIELDS.breakGlass),
    confirmedSnapshotOf: foreign ? named : undefined,
  };
}

// ── What comes of it ─────────────────────────────────────────────────────────────────────────────────────────────────

export function askedText(request: RestoreRequest, place: ReturnType<typeof mrk>): ReturnType<typeof mrk> {
  return join(
    [
      mrk`🔑 Asked: the restore of ${bold(request.cluster)} waits for ${plural(request.threshold, 'approval')}.`,
      mrk`Its message with the plan is in ${place}, and the approvers are called there. You are told how it ends.`,
    ],
    '\n',
  );
}

/** A cluster has one open request at most. */
export function openAlreadyText(request: RestoreRequest | undefined): ReturnType<typeof mrk> {
  const what = mrk`✋ This cluster has an open restore request, so another can't be made. It has to end first.`;
  return join([what, request === undefined ? undefined : standingLine(request)], '\n');
}
