/**
 * Owns what is said of retention in messages: the question whether so many may go, what keeps it from its work, and the
 * line that the backup's own message gets. Events folded into states that views render.
 */
import type { BackupMessage } from './backup-message.ts';
import { hasRules } from './retention.ts';
import type { RetentionPolicy } from './retention.ts';
import type { FoundStray, Question, RetentionEvent, StoreResult, StrayList } from './retention-event.ts';
import { canonical } from './plan.ts';

type Asks = Extract<RetentionEvent, { type: 'retention.asks' }>;
type Clicked = Extract<RetentionEvent, { type: 'retention.confirmed' | 'retention.declined' }>;
type Done = Extract<RetentionEvent, { type: 'retention.done' }>;

// ── The question ─────────────────────────────────────────────────────────────────────────────────────────────────────

export type QuestionPhase =
  | { readonly kind: 'asking' }
  | { readonly kind: 'declined' | 'confirmed'; readonly by: string; readonly at: string }
  /** `by`: who had confirmed it. 'outdated': nobody needs to be asked any more. */
  | {
      readonly kind: 'removed';
      readonly by: string;
      readonly count: number;
      readonly bytes: number;
      readonly left: number;
    }
  | { readonly kind: 'outdated'; readonly at: string };

/** The state of the message that asks; JSON. */
export interface RetentionQuestion {
  readonly kind: 'retention-question';
  readonly cluster: string;
  readonly asked: Question;
  /** The policy of the last run that did not have to ask, where it is known and another. */
  readonly was: RetentionPolicy | undefined;
  readonly phase: QuestionPhase;
  /** Why what was confirmed did not come about. */
  readonly note: string | undefined;
  /** ISO time of the newest event folded in. */
  readonly at: string;
}

/** Who said "Not now" is not asked again so soon, unless the policy changes. */
const SILENT_MS = 7 * 86_400_000;

export function isOpenQuestion({ phase }: RetentionQuestion): boolean {
  return phase.kind !== 'removed' && phase.kind !== 'outdated';
}

/** Whether `event` needs a new message: an edit rings nobody's bell. */
export function isNewQuestion(before: RetentionQuestion | undefined, event: Asks): boolean {
  if (before === undefined || !isOpenQuestion(before)) return true;
  if (canonical(before.asked.policy) !== canonical(event.policy) || event.notNow !== undefined) return true;
  return before.phase.kind === 'declined' && Date.parse(before.phase.at) + SILENT_MS < Date.parse(event.at);
}

/** The question as it is asked now; a word that somebody said of it stands, and what was confirmed waits for its run. */
export function foldAsks(
  before: RetentionQuestion | undefined,
  event: Asks,
  was: RetentionPolicy | undefined,
): RetentionQuestion {
  if (before !== undefined && (before.at >= event.at || before.phase.kind === 'confirmed')) return before;
  const { store, policy, digest, total, oldest, newest, removes, notNow, at, cluster } = event;
  return {
    kind: 'retention-question',
    cluster,
    asked: { store, policy, digest, total, oldest, newest, removes, notNow },
    was: was !== undefined && canonical(was) !== canonical(policy) ? was : undefined,
    phase: before?.phase ?? { kind: 'asking' },
    note: before?.note,
    at,
  };
}

/** The question once it is answered; `before` itself when there is nothing to answer any more. */
export function foldClicked(before: RetentionQuestion, { type, by, at, digest }: Clicked): RetentionQuestion {
  if (!isOpenQuestion(before) || before.phase.kind === 'confirmed' || digest !== before.asked.digest) return before;
  const kind = type === 'retention.confirmed' ? 'confirmed' : 'declined';
  if (before.phase.kind === kind) return before;
  return { ...before, phase: { kind, by, at }, note: undefined, at };
}

/** The question after a run in its store. */
export function foldAnswered(before: RetentionQuestion, event: Done): RetentionQuestion {
  const result = event.stores.find(({ store }) => store === before.asked.store);
  if (!isOpenQuestion(before)) return before;
  if (event.confirmed?.store === before.asked.store) return afterConfirmed(before, event.confirmed.by, result, event);
  if (result === undefined || !result.isKnown || result.asks) return before;
  return { ...before, phase: { kind: 'outdated', at: event.at }, note: undefined, at: event.at };
}

function afterConfirmed(
  before: RetentionQuestion,
  by: string,
  result: StoreResult | undefined,
  { at, problem }: Done,
): RetentionQuestion {
  if (result === undefined || result.removed.count === 0) {
    const why = result?.problem ?? problem;
    // Then it was asked anew already, or nobody needs to be asked any more.
    if (why?.code === 'retention.not-now')
      return before.phase.kind === 'confirmed' ? { ...before, phase: { kind: 'outdated', at }, at } : before;
    if (why === undefined && result?.locked === undefined) return { ...before, phase: { kind: 'outdated', at }, at };
    const note = why === undefined ? (result?.locked?.message ?? '') : `${why.message} ${why.hint}`;
    return { ...before, phase: { kind: 'asking' }, note, at };
  }
  const { removed } = result;
  const left = before.asked.removes.count - removed.count;
  const phase = { kind: 'removed', by, count: removed.count, bytes: removed.bytes, left } as const;
  return { ...before, phase, note: undefined, at };
}

// ── Trouble ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Cause {
  /** Undefined: the whole run. */
  readonly store: string | undefined;
  readonly kind: 'problem' | 'locked' | 'strays' | 'strays-unseen';
  readonly message: string;
  readonly hint: string;
  /** Of strays: how many of each fate. */
  readonly tally?: StrayList['tally'] | undefined;
}

/** What keeps retention from its work in one cluster; one message as long as it is the same trouble. JSON. */
export interface RetentionTrouble {
  readonly kind: 'retention-trouble';
  readonly cluster: string;
  readonly causes: readonly Cause[];
  /** Undefined: as told. 'continued': a newer message goes on. */
  readonly over: 'healed' | 'continued' | undefined;
  readonly at: string;
}

/** The trouble after a run; `isNews`: something is wrong that was not before, so that people have to be called. */
export function foldTrouble(
  before: RetentionTrouble | undefined,
  event: Done,
): { readonly state: RetentionTrouble | undefined; readonly isNews: boolean } {
  const open = before === undefined || before.over !== undefined ? [] : before.causes;
  const now = causesOf(event);
  const causes = [
    ...now,
    ...open.filter((cause) => !isLookedAt(cause, event) && !now.some((each) => same(each, cause))),
  ];
  const isNews = now.some((cause) => !open.some((each) => same(each, cause)));
  if (causes.length === 0 && open.length === 0) return { state: before, isNews: false };
  const { cluster, at } = event;
  if (causes.length === 0) return { state: before && { ...before, over: 'healed', at }, isNews: false };
  return { state: { kind: 'retention-trouble', cluster, causes, over: undefined, at }, isNews };
}

function same(a: Cause, b: Cause): boolean {
  return a.store === b.store && a.kind === b.kind;
}

/** Whether the run can say that it is over. */
function isLookedAt({ store, kind }: Cause, { stores, strays, problem }: Done): boolean {
  if (store === undefined) return problem === undefined;
  const result = stores.find((each) => each.store === store);
  if (result === undefined) return false;
  if (kind === 'strays' || kind === 'strays-unseen') return strays !== undefined && result.isKnown;
  return result.isKnown;
}

function causesOf({ stores, strays, problem }: Done): readonly Cause[] {
  const own: Cause[] = problem === undefined ? [] : [{ store: undefined, kind: 'problem', ...words(problem) }];
  const ofStores = stores.flatMap(({ store, problem: why, locked }): readonly Cause[] => [
    ...(why === undefined || why.code === 'retention.not-now'
      ? []
      : [{ store, kind: 'problem' as const, ...words(why) }]),
    ...(locked === undefined ? [] : [{ store, kind: 'locked' as const, ...lockedWords(locked) }]),
  ]);
  const unseen = (strays?.problems ?? []).map(({ store, problem: why }) => ({
    store,
    kind: 'strays-unseen' as const,
    ...words(why),
  }));
  return [...own, ...ofStores, ...strayCauses(strays?.tally ?? []), ...unseen];
}

function words({ message, hint }: { readonly message: string; readonly hint: string }) {
  return { message, hint };
}

function lockedWords({ count, message }: NonNullable<StoreResult['locked']>) {
  return {
    message: `${count} ${count === 1 ? 'snapshot is' : 'snapshots are'} locked by the store: ${message}`,
    hint: 'They stay until the store lets go of them; the run after the next backup tries again.',
  };
}

const STRAYS_HINT: Readonly<Record<FoundStray['fate'], string>> = {
  waits: 'They are removed once their grace is over.',
  removed: 'Their grace was over.',
  left: 'They are left where they are; the audit names each, and why.',
  spared: '',
};

function strayCauses(tally: StrayList['tally']): Cause[] {
  return [...new Set(tally.map(({ store }) => store))].flatMap((store) => {
    const mine = tally.filter((line) => line.store === store && line.fate !== 'spared');
    if (mine.length === 0) return [];
    const hint = [...new Set(mine.map(({ fate }) => STRAYS_HINT[fate]))].join(' ');
    const message = 'Parts of snapshots were found that belong to nothing.';
    return [{ store, kind: 'strays' as const, message, hint, tally: mine }];
  });
}

// ── The backup's own message ─────────────────────────────────────────────────────────────────────────────────────────

/** `before` itself when there is nothing to say: everything stays, or the backup is not the one that is meant. */
export function foldRetained(before: BackupMessage, event: Done): BackupMessage {
  if (before.phase.kind !== 'stored' || before.retention !== undefined) return before;
  const isInUse = event.stores.some(({ policy }) => hasRules(policy));
  const seeAlerts = event.stores.some(({ asks }) => asks) || causesOf(event).length > 0;
  return isInUse || seeAlerts ? { ...before, retention: { ...event.total, seeAlerts } } : before;
}
