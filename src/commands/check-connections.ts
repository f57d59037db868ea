/** Owns `keyturn check`: every connection is tried, and each ends in one line that says what was found or what to do. */
import { toProblem, type Problem } from '../domain/error.ts';
import type { Clock, Log } from '../ports.ts';

/** One connection to try: `run` resolves with what was found. */
export interface Probe {
  /** What is tried, e.g. `node prod-eu/cp1`. */
  readonly name: string;
  run(signal: AbortSignal): Promise<string>;
}

export interface ProbeResult {
  readonly name: string;
  readonly found: string | undefined;
  readonly problem: Problem | undefined;
}

/** Tries all at once; gives the results in the order of the probes, each within `timeoutMs`. */
export async function* checkConnections(
  probes: readonly Probe[],
  { clock, log, timeoutMs }: { readonly clock: Clock; readonly log: Log; readonly timeoutMs: number },
): AsyncGenerator<ProbeResult> {
  const running = probes.map((probe) => tryOne(probe, clock, log, timeoutMs));
  for (const result of running) yield await result;
}

async function tryOne(probe: Probe, clock: Clock, log: Log, timeoutMs: number): Promise<ProbeResult> {
  const done = new AbortController();
  const overtime = new AbortController();
  const late = clock.sleep(timeoutMs, done.signal).then(
    () => {
      overtime.abort(new Error('timed out'));
      return 'late' as const;
    },
    () => 'late' as const,
  );
  try {
    const found = await Promise.race([probe.run(overtime.signal), late]);
    return found === 'late' ? tooLate(probe, timeoutMs) : { name: probe.name, found, problem: undefined };
  } catch (error) {
    if (overtime.signal.aborted) return tooLate(probe, timeoutMs);
    const problem = toProblem(error, probe.name);
    if (problem.code === 'internal') log.error({ err: error, probe: probe.name }, 'a check failed in an unknown way');
    return { name: probe.name, found: undefined, problem };
  } finally {
    done.abort();
  }
}

function tooLate({ name }: Probe, timeoutMs: number): ProbeResult {
  const problem: Problem = {
    code: 'job.timeout',
    message: `No answer within ${Math.round(timeoutMs / 1000)} s.`,
    hint: 'Look at address, port and firewall between Keyturn and it.',
  };
  return { name, found: undefined, problem };
}

/** `✓ store ceph: …` or `✗ node prod-eu/cp1: … What to do`. */
export function renderProbe({ name, found, problem }: ProbeResult): string {
  return problem === undefined ? `✓ ${name}: ${found ?? ''}` : `✗ ${name}: ${problem.message} ${problem.hint}`;
}
