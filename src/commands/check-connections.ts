/** Owns `keyturn check`: every connection is tried, and each ends in one line that says what was found or what to do. */
import { toProblem, type Problem } from '../domain/error.ts';
import type { Clock, Log } from '../ports.ts';

/** What is good, and what is not as it could be though nothing fails for it. */
export interface Found {
  readonly found: string;
  readonly warning: string | undefined;
}

/** One connection to try: `run` resolves with what was found. */
export interface Probe {
  /** What is tried, e.g. `node prod-eu/cp1`. */
  readonly name: string;
  run(signal: AbortSignal): Promise<string | Found>;
}

export type ProbeResult =
  | (Found & { readonly name: string; readonly problem: undefined })
  | { readonly name: string; readonly problem: Problem };

/** Tries all at once; gives the results in the order of the probes, each within `timeoutMs`. */
export async function* checkConnections(
  probes: readonly Probe[],
  { clock, log, timeoutMs }: { readonly clock: Clock; readonly log: Log; readonly timeoutMs: number },
): AsyncGenerator<ProbeResult> {
  const running = probes.map((probe) => tryOne(probe, clock, log, timeoutMs));
  for (const result of running) yield await result;
}

const LATE: unique symbol = Symbol('late');

async function tryOne(probe: Probe, clock: Clock, log: Log, timeoutMs: number): Promise<ProbeResult> {
  const done = new AbortController();
  const overtime = new AbortController();
  const late = clock.sleep(timeoutMs, done.signal).then(
    (): typeof LATE => {
      overtime.abort(new Error('timed out'));
      return LATE;
    },
    (): typeof LATE => LATE,
  );
  try {
    const found = await Promise.race([probe.run(overtime.signal), late]);
    if (found === LATE) return tooLate(probe, timeoutMs);
    const told = typeof found === 'string' ? { found, warning: undefined } : found;
    return { ...told, name: probe.name, problem: undefined };
  } catch (error) {
    if (overtime.signal.aborted) return tooLate(probe, timeoutMs);
    const problem = toProblem(error, probe.name);
    if (problem.code === 'internal') log.error({ err: error, probe: probe.name }, 'a check failed in an unknown way');
    return { name: probe.name, problem };
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
  return { name, problem };
}

/** `✓ store ceph: …`, `! node prod-eu/cp1: …` with what could be better, or `✗ node prod-eu/cp1: … What to do`. */
export function renderProbe(result: ProbeResult): string {
  const { name, problem } = result;
  if (problem !== undefined) return `✗ ${name}: ${problem.message} ${problem.hint}`;
  return result.warning === undefined ? `✓ ${name}: ${result.found}` : `! ${name}: ${result.found}. ${result.warning}`;
}
