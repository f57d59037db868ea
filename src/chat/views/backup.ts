/** Owns how the one message of a backup looks in each phase of its life. Pure. */
import type { BackupMessage, BackupPhase, RetentionNote } from '../../domain/backup-message.ts';
import type { Problem } from '../../domain/error.ts';
import type { Origin } from '../../domain/job.ts';
import { freshness } from '../../domain/schedule.ts';
import type { SnapshotRecord, Trigger } from '../../domain/snapshot.ts';
import { isFound, isPlain, isVerified } from '../../domain/snapshot.ts';
import {
  actions,
  bold,
  button,
  bytes,
  channelLink,
  code,
  context,
  count,
  date,
  duration,
  fit,
  header,
  join,
  mrk,
  mention,
  message,
  plain,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';

/** What the button "Retry" brings back. */
export interface RetryValue {
  readonly operation: string;
  readonly cluster: string;
}

export const RETRY_ACTION = 'backup.retry';

export interface Surroundings {
  /** The channel that refused the message, which therefore is posted elsewhere. */
  readonly movedFrom: string | undefined;
}

export function backupView(state: BackupMessage, surroundings: Surroundings = { movedFrom: undefined }): MessageView {
  return withMoved(VIEWS[state.phase.kind](state, state.phase as never), state.origin, surroundings);
}

/** Says to whoever asked why the message is not where they asked. */
export function withMoved(view: MessageView, origin: Origin | undefined, { movedFrom }: Surroundings): MessageView {
  if (movedFrom === undefined || origin === undefined) return view;
  const note = mrk`${mention(origin.user)}: I can't post in ${channelLink(movedFrom)}, so this is here. Invite me there to change that.`;
  return message(join([view.text, note], '\n'), [...view.blocks, context(note)]);
}

/** The alarm for a failed backup: a message of its own, since an edit rings nobody's bell. */
export function backupAlertView(state: BackupMessage, oncall: string | undefined): MessageView {
  if (state.phase.kind !== 'failed') return backupView(state);
  const failed = failedView(state, state.phase);
  if (oncall === undefined) return failed;
  const call = mrk`${mention(oncall)} a backup failed: ${bold(state.cluster)}`;
  return message(join([mention(oncall), failed.text], ' '), [section(call), ...failed.blocks]);
}

type Phase<K extends BackupPhase['kind']> = Extract<BackupPhase, { kind: K }>;

const VIEWS: { readonly [K in BackupPhase['kind']]: (state: BackupMessage, phase: Phase<K>) => MessageView } = {
  queued: queuedView,
  running: runningView,
  retrying: retryingView,
  stored: storedView,
  failed: failedView,
};

function queuedView(state: BackupMessage): MessageView {
  const line = mrk`🕓 ${bold(state.cluster)} · backup · queued`;
  return message(line, [section(line), context(asked(state))]);
}

function runningView(state: BackupMessage, phase: Phase<'running'>): MessageView {
  const line = join([mrk`⏳ ${bold(state.cluster)} · backup · running`, progress(phase), attemptOf(state)]);
  return message(line, [
    section(line),
    context(
      join([
        readFrom(phase.member, phase.node, phase.isLeader),
        storeNames(mrk`to`, phase.stores),
        speed(state, phase),
        asked(state),
      ]),
    ),
  ]);
}

function retryingView(state: BackupMessage, phase: Phase<'retrying'>): MessageView {
  const line = mrk`🔁 ${bold(state.cluster)} · backup · attempt ${ordinal(state)} failed · next attempt ${date(phase.retryAt)}`;
  return message(join([line, cause(phase.problem)], '\n'), [
    section(line),
    section(cause(phase.problem)),
    context(asked(state)),
  ]);
}

function storedView(state: BackupMessage, phase: Phase<'stored'>): MessageView {
  const { record, copies, nextRunAt } = phase;
  const missing = copies.filter((c) => c.problem !== undefined);
  const line = join([
    mrk`${missing.length === 0 ? mrk`✅` : mrk`⚠️`} ${bold(state.cluster)}`,
    mrk`backup`,
    mrk`${bytes(record.size)} in ${duration(record.durationMs)}`,
    mrk`revision ${revision(record)}`,
    isVerified(record) ? mrk`verified` : mrk`*not verified*`,
    missing.length === 0 ? undefined : mrk`*in ${copies.length - missing.length} of ${copies.length} stores*`,
    nextRunAt === undefined ? undefined : mrk`next ${date(nextRunAt)}`,
  ]);
  const later = copies.flatMap(({ store, copiedAt }) =>
    copiedAt === undefined ? [] : [mrk`${code(store)}: copied ${date(copiedAt)}`],
  );
  const details = join([
    code(record.id),
    storeNames(
      mrk`in`,
      copies.filter((c) => c.problem === undefined).map((c) => c.store),
    ),
    ...later,
    storedAs(record),
    mrk`${count(record.keys)} keys`,
    readFrom(record.member.name, record.member.node, record.member.isLeader),
    mrk`etcd ${plain(record.etcdVersion, 40)}`,
    asked(state),
  ]);
  const failures = missing.map(
    (c) => mrk`⚠️ Not in ${code(c.store)}: ${cause(c.problem ?? { code: 'internal', message: '', hint: '' })}`,
  );
  const fallback = record.source === 'etcdctl' ? [context(fallbackNote(phase.fallbackReason))] : [];
  return message(join([line, ...failures], '\n'), [
    section(line),
    ...failures.map((f) => section(f)),
    context(details),
    ...(state.retention === undefined ? [] : [context(retentionLine(state.retention))]),
    ...fallback,
  ]);
}

function failedView(state: BackupMessage, phase: Phase<'failed'>): MessageView {
  const after = state.attempts > 1 ? mrk` after ${state.attempts} attempts` : mrk``;
  const line = mrk`❌ ${bold(state.cluster)} · backup · failed${after}`;
  const why = mrk`*Why:* ${plain(phase.problem.message, 900)}`;
  const next = mrk`*What to do:* ${plain(phase.problem.hint, 900)}`;
  const value: RetryValue = { operation: state.operation, cluster: state.cluster };
  const again =
    phase.retried === undefined
      ? actions([button(RETRY_ACTION, '🔁 Retry', value, { style: 'primary' })])
      : context(mrk`🔁 Asked for again by ${mention(phase.retried.user)} ${date(phase.retried.at)}.`);
  const nextRun = phase.nextRunAt === undefined ? undefined : mrk`next run ${date(phase.nextRunAt)}`;
  return message(join([line, why, next, lastGood(state, phase)], '\n'), [
    header(`❌ Backup of ${state.cluster} failed`),
    section(join([why, next], '\n')),
    section(lastGood(state, phase)),
    context(
      join([
        after === '' ? undefined : mrk`${state.attempts} attempts`,
        nextRun,
        code(state.operation, 160),
        asked(state),
      ]),
    ),
    again,
  ]);
}

// ── Phrases ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What happened and what to do, in one or two sentences. */
export function cause(problem: Problem): Mrkdwn {
  return join([plain(problem.message, 600), plain(problem.hint, 600)], ' ');
}

/** Who or what wanted this backup. */
function asked(state: BackupMessage): Mrkdwn {
  return state.trigger === undefined ? mrk`backup` : triggeredBy(state.trigger);
}

export function triggeredBy(trigger: Trigger): Mrkdwn {
  if (trigger.kind === 'person') return mrk`asked by ${mention(trigger.user)}`;
  if (trigger.kind === 'first') return mrk`first backup of this cluster`;
  return trigger.caughtUp ? mrk`caught up, was due ${date(trigger.dueAt)}` : mrk`scheduled for ${date(trigger.dueAt)}`;
}

function attemptOf(state: BackupMessage): Mrkdwn | undefined {
  return state.attempts > 1 ? mrk`attempt ${ordinal(state)}` : undefined;
}

function ordinal(state: BackupMessage): Mrkdwn {
  return mrk`${state.attempt} of ${Math.max(state.attempts, state.attempt)}`;
}

/** `▰▰▰▰▱▱▱▱▱▱ 48 % · 198 MB of 412 MB`; the size is an estimate, so it never says 100 % while it runs. */
function progress({ bytes: done, expectedBytes }: Phase<'running'>): Mrkdwn {
  if (expectedBytes <= 0) return done > 0 ? mrk`${bytes(done)} so far` : mrk`starting`;
  if (done === 0) return mrk`starting, about ${bytes(expectedBytes)}`;
  const percent = Math.min(99, Math.floor((done / expectedBytes) * 100));
  const full = Math.floor(percent / 10);
  const bar = `${'▰'.repeat(full)}${'▱'.repeat(10 - full)}`;
  return mrk`${plain(bar)} ${percent} % · ${bytes(done)} of about ${bytes(Math.max(expectedBytes, done))}`;
}

function speed(state: BackupMessage, phase: Phase<'running'>): Mrkdwn | undefined {
  const seconds = (Date.parse(state.at) - Date.parse(phase.startedAt)) / 1000;
  return phase.bytes > 0 && seconds >= 1 ? mrk`${bytes(phase.bytes / seconds)}/s` : undefined;
}

function readFrom(member: string, node: string, isLeader: boolean): Mrkdwn {
  const where = member === node ? mrk`` : mrk` on ${code(node)}`;
  return mrk`read from ${code(member)}${where} (${isLeader ? mrk`leader` : mrk`follower`})`;
}

/** `in ceph, offsite`; nothing when there is none. */
export function storeNames(word: Mrkdwn, stores: readonly string[]): Mrkdwn | undefined {
  const shown = stores.slice(0, 8).map((store) => code(store));
  return shown.length === 0 ? undefined : mrk`${word} ${join(shown, ', ')}`;
}

/** `98 MB stored, compressed, encrypted to 2 recipients`; nothing where the object is the snapshot itself. */
export function storedAs({ object, encoding }: SnapshotRecord): Mrkdwn | undefined {
  if (isPlain(encoding)) return undefined;
  const { compression, encryption, recipients } = encoding;
  const whom = recipients.includes('passphrase')
    ? mrk`encrypted with a passphrase`
    : mrk`encrypted to ${recipients.length} recipient${recipients.length === 1 ? mrk`` : mrk`s`}`;
  return join(
    [
      mrk`${bytes(object.size)} stored`,
      compression === 'none' ? undefined : mrk`compressed`,
      encryption === 'age' ? whom : undefined,
    ],
    ', ',
  );
}

/** Another tool's snapshot says less of itself; a number would read as a fact. */
const UNKNOWN = mrk`unknown`;

/** `2,000 keys`. */
export function keysOf(record: SnapshotRecord): Mrkdwn {
  return mrk`${isFound(record) ? UNKNOWN : count(record.keys)} keys`;
}

/** The snapshot lies between two revisions; mostly they are one. */
export function revision(record: SnapshotRecord): Mrkdwn {
  const { revisionBefore: from, revisionAfter: to } = record;
  if (from === '0') return UNKNOWN;
  return from === to ? plain(from, 40) : mrk`${plain(from, 40)}–${plain(to, 40)}`;
}

/** `retention: removed 1 (12 MB), keeps 30`. */
function retentionLine({ removed, bytes: freed, keeps, seeAlerts }: RetentionNote): Mrkdwn {
  const gone = removed === 0 ? mrk`removed nothing` : mrk`removed ${count(removed)} (${bytes(freed)})`;
  const alerts = seeAlerts ? mrk`, ⚠️ see the alerts channel` : mrk``;
  return mrk`🧹 retention: ${gone}, keeps ${count(keeps)}${alerts}`;
}

function fallbackNote(reason: string | undefined): Mrkdwn {
  const why = reason === undefined ? mrk`` : mrk`: ${plain(reason, 400)}`;
  return mrk`ℹ️ Read with \`etcdctl snapshot save\` on the node, because etcd's own stream could not be had${why}`;
}

function lastGood(state: BackupMessage, phase: Phase<'failed'>): Mrkdwn {
  const { lastGoodAt, rpoMs } = phase;
  if (lastGoodAt === undefined) return mrk`🔴 *No good backup of this cluster is known.*`;
  const now = new Date(state.at);
  const age = duration(now.getTime() - Date.parse(lastGoodAt));
  const facts = mrk`Last good backup ${date(lastGoodAt)}, ${age} before this failure`;
  if (rpoMs === undefined) return mrk`ℹ️ ${facts}.`;
  return freshness(new Date(lastGoodAt), rpoMs, now) === 'fresh'
    ? mrk`🟡 ${facts}: still within the recovery-point objective of ${duration(rpoMs)}.`
    : mrk`🔴 ${facts}: *older than the recovery-point objective of ${duration(rpoMs)}*.`;
}

/** What a backup came to, in one short phrase, for lists. */
export function snapshotSummary(record: SnapshotRecord, max = 400): Mrkdwn {
  return fit(
    join([
      date(record.takenAt),
      bytes(record.size),
      mrk`revision ${revision(record)}`,
      keysOf(record),
      isVerified(record) ? mrk`verified` : mrk`*not verified*`,
    ]),
    max,
  );
}
