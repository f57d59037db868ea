/**
 * Owns when a one-time code counts: each once, five wrong ones in a row lock, and whoever has enrolled enrols anew only
 * after a second person agreed. Pure: secrets stay sealed here, and codes are only the time step that they fit.
 */
import type { ErrorCode, Problem } from './error.ts';

export interface StepUpRecord {
  /** Slack user id. */
  readonly user: string;
  /** Grows by one with each change. */
  readonly version: number;
  /** The sealed secret that codes are checked against; undefined before the first enrolment was confirmed. */
  readonly secret: string | undefined;
  /** A sealed secret that was shown and waits for its first code. */
  readonly shown: { readonly secret: string; readonly at: string; readonly wrong: number } | undefined;
  /** The newest time step whose code was accepted; codes of it and before are used up. */
  readonly lastStep: number;
  /** Wrong codes since the last right one. */
  readonly wrong: number;
  /** The wish to enrol anew, and who agreed. */
  readonly anew:
    { readonly askedAt: string; readonly agreed: { readonly by: string; readonly at: string } | undefined } | undefined;
}

export const LOCKED_AFTER = 5;
/** A secret that was shown must be confirmed, and a wish to enrol anew agreed to and used, within so long. */
export const SHOWN_MS = 10 * 60_000;
export const ANEW_MS = 60 * 60_000;

export type Standing = 'none' | 'enrolled' | 'locked';

/** The change to keep, with what to tell the person. A refusal may come with a change: wrong codes are counted. */
export type StepUpOutcome =
  | { readonly kind: 'ok'; readonly record: StepUpRecord }
  | (Problem & { readonly kind: 'refused'; readonly record: StepUpRecord | undefined });

export function standingOf(record: StepUpRecord | undefined): Standing {
  if (record?.secret === undefined) return 'none';
  return record.wrong >= LOCKED_AFTER ? 'locked' : 'enrolled';
}

/** `step`: the time step that the code fits, undefined when it fits none. */
export function useCode(record: StepUpRecord | undefined, step: number | undefined): StepUpOutcome {
  if (record === undefined || standingOf(record) === 'none') {
    return refused('step-up.not-enrolled', 'You have no one-time codes yet.', 'Enrol first; then try again.');
  }
  if (standingOf(record) === 'locked') return locked(undefined);
  if (step !== undefined && step > record.lastStep) return changed(record, { lastStep: step, wrong: 0 });
  // A used code counts as a wrong one: someone may be replaying what he saw.
  const counted = changed(record, { wrong: record.wrong + 1 }).record;
  if (standingOf(counted) === 'locked') return locked(counted);
  return step === undefined
    ? refused('step-up.wrong-code', 'That code is wrong.', `Enter the newest one. ${left(counted.wrong)}`, counted)
    : refused(
        'step-up.used-code',
        'That code was used before; each counts once.',
        `Wait for the next one. ${left(counted.wrong)}`,
        counted,
      );
}

/** Keeps a new secret until its first code confirms it. A secret that was shown before is forgotten. */
export function showSecret(
  record: StepUpRecord | undefined,
  { user, secret, now }: { readonly user: string; readonly secret: string; readonly now: Date },
): StepUpOutcome {
  if (standingOf(record) !== 'none' && !isAgreed(record, now)) {
    return refused(
      'step-up.not-now',
      'You have one-time codes already.',
      'Ask to enrol anew, and have another approver agree to it.',
    );
  }
  return changed(record ?? emptyRecord(user), { shown: { secret, at: now.toISOString(), wrong: 0 } });
}

/** The first code makes the secret that was shown the one that counts, and ends a lock. */
export function confirmSecret(
  record: StepUpRecord | undefined,
  { step, now }: { readonly step: number | undefined; readonly now: Date },
): StepUpOutcome {
  const shown = record?.shown;
  const replaces = standingOf(record) !== 'none';
  if (
    record === undefined ||
    shown === undefined ||
    isOver(shown.at, SHOWN_MS, now) ||
    (replaces && !isAgreed(record, now))
  ) {
    return refused('step-up.not-now', 'There is no new secret to confirm (any more).', 'Start enrolling again.');
  }
  if (step !== undefined) {
    return changed(record, { secret: shown.secret, shown: undefined, lastStep: step, wrong: 0, anew: undefined });
  }
  const wrong = shown.wrong + 1;
  const counted = changed(record, { shown: wrong < LOCKED_AFTER ? { ...shown, wrong } : undefined }).record;
  const hint = wrong < LOCKED_AFTER ? `Enter the newest one. ${left(wrong)}` : 'Start enrolling again.';
  return refused('step-up.wrong-code', 'That code is wrong.', hint, counted);
}

/** The wish for a new secret: the old one is lost, or locked. */
export function askAnew(record: StepUpRecord | undefined, now: Date): StepUpOutcome {
  if (record === undefined || standingOf(record) === 'none') {
    return refused('step-up.not-enrolled', 'You have no one-time codes yet.', 'Enrol: nobody needs to agree to it.');
  }
  return changed(record, { anew: { askedAt: now.toISOString(), agreed: undefined } });
}

/** A second person agrees; that this person may, and proved who it is, is for the caller to see to. */
export function agreeAnew(
  record: StepUpRecord | undefined,
  { by, now }: { readonly by: string; readonly now: Date },
): StepUpOutcome {
  if (record?.anew === undefined || isOver(record.anew.askedAt, ANEW_MS, now)) {
    return refused('step-up.not-now', 'Nobody asks to enrol anew here (any more).', 'Have the person ask again.');
  }
  if (by === record.user) {
    return refused('review.not-counted', "Your own agreement doesn't count.", 'Ask another approver to agree.');
  }
  return changed(record, { anew: { ...record.anew, agreed: { by, at: now.toISOString() } } });
}

function isAgreed(record: StepUpRecord | undefined, now: Date): boolean {
  const agreed = record?.anew?.agreed;
  return agreed !== undefined && !isOver(agreed.at, ANEW_MS, now);
}

function isOver(since: string, ms: number, now: Date): boolean {
  return now.getTime() - Date.parse(since) >= ms;
}

function emptyRecord(user: string): StepUpRecord {
  return { user, version: 0, secret: undefined, shown: undefined, lastStep: -1, wrong: 0, anew: undefined };
}

function changed(
  record: StepUpRecord,
  change: Partial<Omit<StepUpRecord, 'user' | 'version'>>,
): { readonly kind: 'ok'; readonly record: StepUpRecord } {
  return { kind: 'ok', record: { ...record, ...change, version: record.version + 1 } };
}

function refused(code: ErrorCode, message: string, hint: string, record?: StepUpRecord): StepUpOutcome {
  return { kind: 'refused', code, message, hint, record };
}

function locked(record: StepUpRecord | undefined): StepUpOutcome {
  const message = `Your one-time codes are locked after ${LOCKED_AFTER} wrong ones.`;
  return refused('step-up.locked', message, 'Ask to enrol anew, and have another approver agree to it.', record);
}

function left(wrong: number): string {
  const tries = LOCKED_AFTER - wrong;
  return `${tries} ${tries === 1 ? 'try is' : 'tries are'} left.`;
}
