/** Owns one-time codes as people meet them: enrolling, using one, and enrolling anew with a second person's consent. */
import type { Problem } from '../domain/error.ts';
import { groupsAmong, may } from '../domain/permission.ts';
import type { Person, RoleHolders } from '../domain/permission.ts';
import { agreeAnew, askAnew, confirmSecret, showSecret, standingOf, useCode } from '../domain/step-up.ts';
import type { Standing, StepUpOutcome, StepUpRecord } from '../domain/step-up.ts';
import type { Clock, OneTimeCodes, PeopleDirectory, StepUpRecords } from '../ports.ts';

export interface StepUpDeps {
  readonly stepUp: { readonly records: StepUpRecords; readonly codes: OneTimeCodes };
  readonly clock: Pick<Clock, 'now'>;
}

export interface EnrolDeps extends StepUpDeps {
  readonly directory: PeopleDirectory;
  readonly people: RoleHolders;
}

export type StepUpAnswer = { readonly kind: 'done' } | { readonly kind: 'refused'; readonly problem: Problem };
export type SecretAnswer =
  /** To be shown to this person only, and once: it can't be had again. */
  | { readonly kind: 'secret'; readonly secret: string; readonly uri: string }
  | { readonly kind: 'refused'; readonly problem: Problem };

/** Each failed attempt means that another's change was kept; so many in a row can't be chance. */
const ATTEMPTS = 20;

/** Whether this person has codes. Throws queue.unavailable. */
export async function stepUpStanding(deps: StepUpDeps, user: string): Promise<Standing> {
  return standingOf(await deps.stepUp.records.read(user));
}

/**
 * Uses up one code: undefined when it was right and never used before, else why it does not count (step-up.*). Throws
 * step-up.sealed, queue.unavailable.
 */
export function spendCode(deps: StepUpDeps, user: string, code: string): Promise<Problem | undefined> {
  return changeRecord(deps, user, (record) =>
    useCode(record, record?.secret === undefined ? undefined : stepOf(deps, user, record.secret, code)),
  );
}

/** A new secret for an approver who has none, or who may enrol anew. Throws slack.refused, queue.unavailable. */
export async function beginEnrolment(deps: EnrolDeps, user: string): Promise<SecretAnswer> {
  const person = await approver(deps, user);
  if ('problem' in person) return person;
  const made = deps.stepUp.codes.newSecret(user, person.name);
  const problem = await changeRecord(deps, user, (record) =>
    showSecret(record, { user, secret: made.sealed, now: deps.clock.now() }),
  );
  return problem === undefined ? { kind: 'secret', secret: made.secret, uri: made.uri } : { kind: 'refused', problem };
}

/** The first code of the secret that was shown. From now on it counts, and no other. */
export async function confirmEnrolment(deps: StepUpDeps, user: string, code: string): Promise<StepUpAnswer> {
  return answer(
    await changeRecord(deps, user, (record) => {
      const step = record?.shown === undefined ? undefined : stepOf(deps, user, record.shown.secret, code);
      return confirmSecret(record, { step, now: deps.clock.now() });
    }),
  );
}

/** Whose phone is lost or codes are locked asks for a new secret. */
export async function askToEnrolAnew(deps: StepUpDeps, user: string): Promise<StepUpAnswer> {
  return answer(await changeRecord(deps, user, (record) => askAnew(record, deps.clock.now())));
}

/** Another approver agrees, and proves by a code of their own that it is not only their Slack session that does. */
export async function agreeToEnrolAnew(
  deps: EnrolDeps,
  { user, by, code }: { readonly user: string; readonly by: string; readonly code: string },
): Promise<StepUpAnswer> {
  const second = await approver(deps, by);
  if ('problem' in second) return second;
  const would = agreeAnew(await deps.stepUp.records.read(user), { by, now: deps.clock.now() });
  if (would.kind === 'refused') return answer(would);
  const wrong = await spendCode(deps, by, code);
  if (wrong !== undefined) return answer(wrong);
  return answer(await changeRecord(deps, user, (record) => agreeAnew(record, { by, now: deps.clock.now() })));
}

/** As the directory knows them now; refused when they approve nothing. */
async function approver(deps: EnrolDeps, user: string): Promise<Person | Extract<StepUpAnswer, { kind: 'refused' }>> {
  const person = await deps.directory.person(user, groupsAmong(deps.people.approve), true);
  if (may(person, 'approve', deps.people)) return person;
  const problem: Problem = {
    code: 'permission.denied',
    message: 'One-time codes are for approvers only.',
    hint: "Have yourself added to people.approve in Keyturn's configuration.",
  };
  return { kind: 'refused', problem };
}

function stepOf(deps: StepUpDeps, user: string, sealed: string, code: string): number | undefined {
  return deps.stepUp.codes.stepOf(user, sealed, code, deps.clock.now());
}

/** Keeps what `decide` makes of the record, wrong codes included; answers why it was refused. */
async function changeRecord(
  deps: StepUpDeps,
  user: string,
  decide: (record: StepUpRecord | undefined) => StepUpOutcome,
): Promise<Problem | undefined> {
  const { records } = deps.stepUp;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const outcome = decide(await records.read(user));
    if (outcome.record !== undefined && !(await records.compareAndSet(outcome.record))) continue;
    if (outcome.kind === 'ok') return undefined;
    const { code, message, hint } = outcome;
    return { code, message, hint };
  }
  return { code: 'request.contended', message: 'Too many codes were sent at once.', hint: 'Try again.' };
}

function answer(problem: Problem | undefined): StepUpAnswer {
  if (problem === undefined) return { kind: 'done' };
  const { code, message, hint } = problem;
  return { kind: 'refused', problem: { code, message, hint } };
}
