/** Steps on nodes in memory: what a script does, and what befalls a node, is set by the test. */
import { createHash } from 'node:crypto';
import { KeyturnError } from '../../src/domain/error.ts';
import type { Clock, NodeSteps, RestoreOnNode, StepReport, StepRunner, StepState } from '../../src/ports.ts';

/** What a script does; it prints its output at once. Left out: 0, nothing, at once. `takesMs`: Infinity never ends. */
export interface FakeScript {
  readonly code?: number;
  readonly output?: string;
  readonly takesMs?: number;
}

export interface FakeStepRunner extends StepRunner {
  /** Scripts that were begun, as `node request/step`, in order: each once. */
  readonly begun: readonly string[];
  /** What `fetch` put on nodes, by `node:path`. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Every step that runs on this node vanishes. */
  reboot(node: string): void;
  /** Every call for this node throws `error` until it is undefined again; what was begun goes on. */
  cut(node: string, error: KeyturnError | undefined): void;
}

/** Bytes of output in one report. */
const MOST_TOLD = 256 * 1024;

interface Begun {
  readonly script: string;
  readonly does: FakeScript;
  readonly startedAt: Date;
  /** When it will have ended by itself or by its deadline, unless `end` says otherwise. Milliseconds. */
  readonly endsAt: number;
  readonly endedBy: 'itself' | 'deadline';
  end: StepState | undefined;
}

/** `run` decides by node and text what a script does. */
export function fakeStepRunner(clock: Clock, run: (node: string, script: string) => FakeScript): FakeStepRunner {
  const steps = new Map<string, Begun>();
  const fences = new Map<string, number>();
  const files = new Map<string, Uint8Array>();
  const cuts = new Map<string, KeyturnError>();
  const begun: string[] = [];

  function stateOf(step: Begun | undefined): StepState {
    if (step === undefined) return { kind: 'not-started' };
    if (step.end !== undefined) return step.end;
    const { startedAt, endsAt, endedBy, does } = step;
    if (clock.now().getTime() < endsAt) return { kind: 'running', startedAt };
    const code = endedBy === 'deadline' ? 124 : (does.code ?? 0);
    return (step.end = { kind: 'done', code, endedBy, startedAt, endedAt: new Date(endsAt) });
  }

  function report(step: Begun | undefined, offset = 0): StepReport {
    const output = Buffer.from(step?.does.output ?? '');
    return {
      state: stateOf(step),
      output: output.subarray(offset, offset + MOST_TOLD),
      offset,
      outputSize: output.length,
    };
  }

  function on(node: string, { cluster, request, token }: RestoreOnNode): NodeSteps {
    const keyOf = (step: string): string => `${node} ${request}/${step}`;
    const enter = (): void => {
      throwIfCut(node);
      const seen = fences.get(`${node} ${cluster}`) ?? 0;
      if (token < seen) throw new KeyturnError('lease.lost', `${node} has seen token ${seen}.`, { hint: 'Stop.' });
      fences.set(`${node} ${cluster}`, token);
    };
    const begin = (step: string, script: string, deadlineMs: number): Begun => {
      const other = [...steps].find(([key, each]) => key.startsWith(`${node} `) && stateOf(each).kind === 'running');
      if (other !== undefined) throw refused(`${other[0]} runs.`);
      const does = run(node, script);
      const startedAt = clock.now();
      const takesMs = Math.min(does.takesMs ?? 0, deadlineMs);
      const endedBy = (does.takesMs ?? 0) > deadlineMs ? 'deadline' : 'itself';
      begun.push(keyOf(step));
      return { script, does, startedAt, endsAt: startedAt.getTime() + takesMs, endedBy, end: undefined };
    };
    const whileRunning = async (
      step: string,
      waitMs: number,
      signal: AbortSignal | undefined,
      offset = Infinity,
    ): Promise<StepReport> => {
      const until = clock.now().getTime() + waitMs;
      for (;;) {
        const now = report(steps.get(keyOf(step)), offset);
        if (now.state.kind !== 'running' || now.outputSize > offset || clock.now().getTime() >= until) return now;
        await clock.sleep(Math.max(1, Math.min(50, until - clock.now().getTime())), signal);
        throwIfCut(node);
      }
    };
    return {
      async start(step, script, { deadlineMs, unless, waitMs = 0, signal }) {
        enter();
        const known = steps.get(keyOf(step));
        if (known === undefined && unless !== undefined && (run(node, unless).code ?? 0) === 0)
          return report(undefined);
        const begun = known ?? begin(step, script, deadlineMs);
        if (begun.script !== script) throw refused(`${step} is known with another script.`);
        steps.set(keyOf(step), begun);
        await whileRunning(step, waitMs, signal);
        return report(begun);
      },
      async look(step, { offset = 0, waitMs = 0, signal } = {}) {
        enter();
        return whileRunning(step, waitMs, signal, offset);
      },
      async stop(step) {
        enter();
        const known = steps.get(keyOf(step));
        const state = stateOf(known);
        if (known !== undefined && state.kind === 'running') {
          known.end = { kind: 'done', code: 143, endedBy: 'stop', startedAt: known.startedAt, endedAt: clock.now() };
        }
        return report(known);
      },
      async ask(script) {
        throwIfCut(node);
        const { code = 0, output = '' } = run(node, script);
        const printed =
          code === 0 ? { stdout: Buffer.from(output), stderr: '' } : { stdout: Buffer.alloc(0), stderr: output };
        return { code, signal: undefined, ...printed };
      },
      async fetch({ path, size, sha256 }, bytes, { signal, onBytes }) {
        enter();
        const fits = (file: Uint8Array | undefined): boolean =>
          file?.length === size && createHash('sha256').update(file).digest('hex') === sha256;
        if (fits(files.get(`${node}:${path}`))) return 'was-there';
        let file = Buffer.alloc(0);
        for await (const chunk of await bytes()) {
          signal.throwIfAborted();
          file = Buffer.concat([file, chunk]);
          onBytes?.(file.length);
        }
        enter();
        if (!fits(file)) throw new KeyturnError('etcd.snapshot-corrupt', 'Other bytes.', { hint: 'Try again.' });
        files.set(`${node}:${path}`, file);
        return 'fetched';
      },
    };
  }

  function throwIfCut(node: string): void {
    const error = cuts.get(node);
    if (error !== undefined) throw error;
  }

  return {
    begun,
    files,
    on: (connection, restore) => on(connection.node.name, restore),
    reboot(node) {
      for (const [key, step] of steps) {
        const state = key.startsWith(`${node} `) ? stateOf(step) : undefined;
        if (state?.kind === 'running') step.end = { kind: 'vanished', why: 'rebooted', startedAt: state.startedAt };
      }
    },
    cut(node, error) {
      if (error === undefined) cuts.delete(node);
      else cuts.set(node, error);
    },
  };
}

function refused(why: string): KeyturnError {
  return new KeyturnError('node.step-refused', why, { hint: 'Wait.' });
}
