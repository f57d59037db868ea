/** Owns the way from an event of a restore to its messages: its own, those in its thread, and those to people. */
import type { RestoreEvent } from '../domain/event.ts';
import { foldRestore } from '../domain/restore-message.ts';
import type { RestoreMessage } from '../domain/restore-message.ts';
import { isOpen } from '../domain/restore-request.ts';
import type { RestoreSummary } from '../domain/restore-summary.ts';
import type { Clock } from '../ports.ts';
import { restoreKeys } from './message-state.ts';
import type { MessageState, RestoreCall, RestoreEnd, RestoreThreadMessage } from './message-state.ts';
import { remember } from './remember.ts';
import type { RememberOptions } from './remember.ts';

export interface RestoreAnnouncerOptions extends RememberOptions {
  readonly clock: Pick<Clock, 'now' | 'sleep'>;
  /** Progress of one message is told at most so often; default 2000. */
  readonly progressEveryMs?: number;
}

type Deliver = (key: string) => Promise<void>;

/** Slack takes some 50 edits a minute, and a restore has two messages that are edited as it goes. */
const STEPS_EVERY = 2;
/** Restores end, and nobody says when the last of their events was. */
const PACED_AT_MOST = 1000;

/** As `announcer` says. */
export function restoreAnnouncer(options: RestoreAnnouncerOptions): (event: RestoreEvent) => Promise<void> {
  const { outbox, progressEveryMs = 2000 } = options;
  const tooSoon = bytesThrottle(options.clock, progressEveryMs);
  const soon = pacer(options, progressEveryMs);
  const later = pacer(options, progressEveryMs * STEPS_EVERY);
  return async (event) => {
    if (tooSoon(event)) return;
    const pace: Deliver = isStep(event) ? soon : (key) => outbox.enqueue(key);
    const main = await remember<RestoreMessage>(options, event.operation, (before) => foldRestore(before, event), pace);
    await tellSteps(options, event, main, later);
    await tellBeside(options, event, main);
  };
}

type StepEvent = Extract<
  RestoreEvent,
  { readonly type: 'restore.step-begun' | 'restore.step-progress' | 'restore.step-ended' }
>;

function isStep(event: RestoreEvent): event is StepEvent {
  return event.type.startsWith('restore.step-');
}

/** Bytes are not worth a write each; what follows says it too. */
function bytesThrottle(clock: Pick<Clock, 'now'>, everyMs: number): (event: RestoreEvent) => boolean {
  const lastTold = new Map<string, number>();
  return (event) => {
    if (!isStep(event)) return false;
    const key = `${event.operation} ${event.step}`;
    if (event.type === 'restore.step-ended') lastTold.delete(key);
    if (event.type !== 'restore.step-progress') return false;
    const now = clock.now().getTime();
    if (now - (lastTold.get(key) ?? -Infinity) < everyMs) return true;
    lastTold.set(key, now);
    return false;
  };
}

/** Asks for delivery at once when the last time is long enough ago, else when it is: nothing kept stays untold. */
function pacer({ clock, outbox }: RestoreAnnouncerOptions, everyMs: number): Deliver {
  const lastAsked = new Map<string, number>();
  const due = new Set<string>();
  const ask = async (key: string): Promise<void> => {
    due.delete(key);
    if (lastAsked.size > PACED_AT_MOST) lastAsked.clear();
    lastAsked.set(key, clock.now().getTime());
    await outbox.enqueue(key);
  };
  return async (key) => {
    const waitMs = (lastAsked.get(key) ?? -Infinity) + everyMs - clock.now().getTime();
    if (waitMs <= 0) return ask(key);
    if (due.has(key)) return;
    due.add(key);
    // What can't be asked for now is told by the next event, and the end of a restore is never paced.
    clock
      .sleep(waitMs)
      .then(() => ask(key))
      .catch(() => due.delete(key));
  };
}

// ── The thread ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Begins with the first step; from then on it knows what the restore's own message knows of steps. */
async function tellSteps(
  options: RestoreAnnouncerOptions,
  event: RestoreEvent,
  main: RestoreMessage | undefined,
  pace: Deliver,
): Promise<void> {
  if (main?.request === undefined || Object.keys(main.steps).length === 0) return;
  const fold = (before: RestoreThreadMessage | undefined): RestoreThreadMessage => {
    if (before === undefined) return { kind: 'restore-steps', restore: main };
    const restore = foldRestore(before.restore, event);
    return restore === before.restore ? before : { ...before, restore };
  };
  await remember(options, restoreKeys.steps(event.operation), fold, isStep(event) ? pace : undefined);
}

// ── New messages: an edit would ring nobody's bell ───────────────────────────────────────────────────────────────────

async function tellBeside(
  options: RestoreAnnouncerOptions,
  event: RestoreEvent,
  main: RestoreMessage | undefined,
): Promise<void> {
  if (event.type === 'restore.cleaned' && main !== undefined) {
    const said: RestoreThreadMessage = { kind: 'restore-cleaned', restore: withoutSteps(main) };
    await once(options, restoreKeys.cleaned(event.operation, event.at), said);
  }
  if (event.type === 'restore.changed') await callPeople(options, event.request);
  if (event.type === 'restore.changed' || event.type === 'restore.ended') await tellEnd(options, main);
}

async function callPeople(options: RestoreAnnouncerOptions, request: RestoreSummary): Promise<void> {
  const { id: operation, version } = request;
  const call = (kind: RestoreCall['kind']): RestoreCall => ({ kind, operation, request: withoutPhases(request) });
  if (request.breakGlass) await once(options, restoreKeys.breakGlass(operation), call('restore-break-glass'));
  if (request.waiting !== undefined && request.history.at(-1)?.action === 'wait') {
    await once(options, restoreKeys.decision(operation, version), call('restore-decision'));
  }
}

/** To the thread, to who asked, and to everyone who said something; a report that comes late is added. */
async function tellEnd(options: RestoreAnnouncerOptions, main: RestoreMessage | undefined): Promise<void> {
  const request = main?.request;
  if (main === undefined || request === undefined || isOpen(request.state)) return;
  const people = [request.requester.id, request.onBehalfOf, ...request.reviews.map(({ reviewer }) => reviewer)];
  for (const to of [undefined, ...new Set(people.filter((id) => id !== undefined))]) {
    const end: RestoreEnd = { kind: 'restore-end', restore: withoutSteps(main), to };
    await remember<RestoreEnd>(options, restoreKeys.end(main.operation, to), (before) =>
      before === undefined || (before.restore.ended === undefined && main.ended !== undefined) ? end : before,
    );
  }
}

async function once(options: RememberOptions, key: string, state: MessageState): Promise<void> {
  await remember<MessageState>(options, key, (before) => before ?? state);
}

/** What is said once needs no scripts and marks, which are most of what there is. */
function withoutSteps(main: RestoreMessage): RestoreMessage {
  const { request } = main;
  return { ...main, steps: {}, request: request && withoutPhases(request) };
}

function withoutPhases(request: RestoreSummary): RestoreSummary {
  return { ...request, plan: { ...request.plan, phases: [] } };
}
