/**
 * Owns what is kept of a restore while it runs: told first, since nothing may happen unaudited, then journalled, and never
 * without the lease.
 */
import { toProblem, type Problem } from '../../domain/error.ts';
import type { RestoreEvent } from '../../domain/event.ts';
import type { JournalEntry, JournalEvent } from '../../domain/journal.ts';
import type { PhaseName, Step } from '../../domain/plan.ts';
import { courseOf, type Course, type Doing, type EndOfRestore } from '../../domain/restore-course.ts';
import type { RestoreDeps } from './deps.ts';

/** The restore can't be kept track of any more: this worker stops at once, and another goes on. */
export class Halted extends Error {
  override readonly name = 'Halted';
}

/** What a step is done for. */
export interface Task {
  readonly phase: PhaseName;
  readonly step: Step;
  readonly doing: Doing;
}

export interface StepResult {
  readonly outcome: 'done' | 'was-done' | 'failed' | 'vanished';
  readonly code: number | undefined;
  readonly output: string;
  readonly durationMs: number;
  readonly problem: Problem | undefined;
}

type Without<T, K extends string> = T extends unknown ? Omit<T, K> : never;
type Telling = Without<RestoreEvent, 'at' | 'operation' | 'cluster'>;

export class RestoreRecord {
  readonly #restore: { readonly request: string; readonly cluster: string; readonly token: number };
  readonly #deps: Pick<RestoreDeps, 'journal' | 'publish' | 'clock' | 'log'>;
  readonly #signal: AbortSignal;
  readonly #entries: JournalEntry[];
  #course: Course;

  /** `entries`: what the journal held when it was taken over. */
  constructor(
    restore: { readonly request: string; readonly cluster: string; readonly token: number },
    entries: readonly JournalEntry[],
    deps: Pick<RestoreDeps, 'journal' | 'publish' | 'clock' | 'log'>,
    signal: AbortSignal,
  ) {
    this.#restore = restore;
    this.#deps = deps;
    this.#signal = signal;
    this.#entries = [...entries];
    this.#course = courseOf(entries);
  }

  get course(): Course {
    return this.#course;
  }

  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  async begun(task: Task, run: string, script: string | undefined): Promise<void> {
    await this.tell({ type: 'restore.step-begun', ...this.#ofStep(task, run), script });
    await this.#append({ type: 'step.begun', ...this.#ofEntry(task, run) });
  }

  async ended(task: Task, run: string, result: StepResult): Promise<void> {
    const { outcome, code, problem } = result;
    await this.tell({ type: 'restore.step-ended', ...this.#ofStep(task, run), ...result });
    await this.#append({ type: 'step.ended', ...this.#ofEntry(task, run), outcome, code, why: problem?.message });
  }

  /** Nobody knows how it stands: told, and not journalled, so that whoever goes on looks again. */
  async lost(task: Task, run: string, problem: Problem): Promise<void> {
    const result = { outcome: 'failed', code: undefined, output: '', durationMs: 0, problem } as const;
    await this.tell({ type: 'restore.step-ended', ...this.#ofStep(task, run), ...result });
  }

  async proven(
    what: Extract<JournalEvent, { type: 'proven' }>['what'],
    verified: readonly string[],
    warnings: readonly string[] = [],
  ): Promise<void> {
    await this.#append({ type: 'proven', at: this.#now(), what, verified, warnings });
  }

  async turned(to: 'undo' | 'roll-back' | 'wait' | 'forward', reason: string): Promise<void> {
    this.#deps.log.warn({ operation: this.#restore.request, to, reason }, 'the restore turns');
    await this.tell({ type: 'restore.turned', to, reason });
    await this.#append({ type: 'restore.turned', at: this.#now(), to, reason });
  }

  async end(outcome: EndOfRestore['outcome'], reason?: string): Promise<void> {
    await this.#append({ type: 'restore.ended', at: this.#now(), outcome, reason });
  }

  /** Throws Halted when it can't be kept for good. */
  async tell(event: Telling): Promise<void> {
    await this.#orHalt(() => this.#deps.publish(this.#whole(event)));
  }

  /** Not worth waiting for; losing one is nothing. */
  progress(step: Pick<Step, 'id' | 'node'>, done: number, total: number): void {
    const event = this.#whole({ type: 'restore.step-progress', step: step.id, node: step.node, done, total });
    this.#deps.publish(event).catch((error: unknown) => {
      this.#deps.log.warn({ err: error, operation: this.#restore.request }, 'progress could not be told');
    });
  }

  problemOf(error: unknown): Problem {
    return toProblem(error, this.#restore.request);
  }

  async #append(event: JournalEvent): Promise<void> {
    const { request, token } = this.#restore;
    await this.#orHalt(() => this.#deps.journal.append(request, token, event));
    this.#entries.push({ token, event });
    this.#course = courseOf(this.#entries);
  }

  async #orHalt(act: () => Promise<void>): Promise<void> {
    this.#signal.throwIfAborted();
    try {
      await act();
    } catch (error) {
      throw new Halted('The restore can not be kept track of.', { cause: error });
    }
    this.#signal.throwIfAborted();
  }

  #whole(event: Telling): RestoreEvent {
    const { request, cluster } = this.#restore;
    return { at: this.#now(), operation: request, cluster, ...event };
  }

  #ofStep({ phase, step, doing }: Task, run: string) {
    return { step: step.id, node: step.node, phase, doing, run };
  }

  #ofEntry({ step, doing }: Task, run: string) {
    return { at: this.#now(), step: step.id, node: step.node, run, doing };
  }

  #now(): string {
    return this.#deps.clock.now().toISOString();
  }
}
