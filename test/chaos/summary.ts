/** Owns what a run of chaos prints: a table at its end, and the story of a run that failed. */
import { BLOWS } from './plan.ts';
import type { Replica } from './replica.ts';
import { endOf, type Run } from './verdict.ts';

export interface SummaryOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly replicas: readonly Replica[];
  readonly runs: ReadonlyMap<string, Run>;
  /** The last attempt's number of each operation. */
  readonly attempts: ReadonlyMap<string, number>;
}

export function summary({ seed, minutes, replicas, runs, attempts }: SummaryOptions): string {
  const all = [...runs.values()];
  const blown = replicas.flatMap((replica) => replica.blown);
  const delays = all.flatMap(({ snapshots }) => snapshots.map(delayMs)).sort((a, b) => b - a);
  const rows: (readonly [string, string | number])[] = [
    ['seed', seed],
    ['minutes', minutes],
    ['runs', all.length],
    ['snapshots', all.reduce((sum, run) => sum + run.snapshots.length, 0)],
    ['reported failures', all.filter((run) => endOf(run) === 'failed').length],
    ['attempts beyond the first', [...attempts.values()].reduce((sum, attempt) => sum + Math.max(0, attempt - 1), 0)],
    ['longest from ticks to snapshots', `${delays.slice(0, 3).map(inSeconds).join(', ')} s`],
    ...BLOWS.map((blow) => [blow, blown.filter((each) => each.blow === blow).length] as const),
  ];
  return rows.map(([name, value]) => `  ${name.padEnd(36)} ${value}`).join('\n');
}

function inSeconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}

function delayMs({ trigger, takenAt }: Run['snapshots'][number]): number {
  return trigger.kind === 'schedule' ? Date.parse(takenAt) - Date.parse(trigger.dueAt) : 0;
}

/** Every blow and every line of the bots' logs, in order of time; the `newest` ones. */
export async function linesOf(replicas: readonly Replica[], newest = 400): Promise<string> {
  const lines: { at: number; line: string }[] = [];
  for (const { name, bots, blown } of replicas) {
    for (const { blow, at, forMs } of blown) lines.push({ at: at.getTime(), line: `${name} ── ${blow}, ${forMs} ms` });
    for (const bot of bots) {
      for (const line of (await bot.log()).split('\n')) {
        const time = /"time":"?([^",]+)/.exec(line)?.[1];
        if (time === undefined) continue;
        const at = /^\d+$/.test(time) ? Number(time) : Date.parse(time);
        lines.push({ at, line: `${name} ${line}` });
      }
    }
  }
  const sorted = lines.sort((a, b) => a.at - b.at).map(({ at, line }) => `${new Date(at).toISOString()} ${line}`);
  return sorted.slice(-newest).join('\n');
}
