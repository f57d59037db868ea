/**
 * Owns the restore benchmark: Keyturn's restore against procedure E by hand on the same nodes, one after the other in turn.
 * Downtime is what clients feel: the longest time in which no kube-apiserver said that it is ready.
 */
import type { PhaseName } from '../../src/domain/plan.ts';
import type { RestoreReport } from '../../src/domain/restore-report.ts';
import type { RestoreTimes } from './keyturn-restore.ts';
import { ASIDE, COPY, procedureE, type ClassicTimes } from './procedure-e.ts';
import { openRestoreStage, type RestoreStage } from './restore-stage.ts';
import { median, type Result } from './results.ts';

export interface RestoreBenchOptions {
  /** Bytes in etcd. */
  readonly size: number;
  /** Rounds of each. */
  readonly runs: number;
  readonly onProgress: (line: string) => void;
  readonly onResult: (result: Result) => void;
}

interface Round<T> {
  readonly times: T;
  readonly downtimeMs: number;
}

export async function benchRestore({ size, runs, onProgress, onResult }: RestoreBenchOptions): Promise<void> {
  const stage = await openRestoreStage(size, onProgress);
  const classic: Round<ClassicTimes>[] = [];
  const keyturn: Round<RestoreTimes>[] = [];
  try {
    // Memory and disks are slow at first touch; and etcd has its whole past in memory before the first restore.
    onProgress('bench: warming up');
    await classicRound(stage, onProgress);
    await keyturnRound(stage, 'warm-up', onProgress);
    for (let round = 1; round <= runs; round += 1) {
      onProgress(`bench: round ${round} of ${runs}`);
      classic.push(await classicRound(stage, onProgress));
      keyturn.push(await keyturnRound(stage, `round-${round}`, onProgress));
    }
  } finally {
    await stage.stop();
  }
  tell(classic, keyturn, (name, value, unit) =>
    onResult({ name: `restore.${name}`, value: Number(value.toPrecision(4)), unit, runs }),
  );
}

async function classicRound(stage: RestoreStage, onProgress: (line: string) => void): Promise<Round<ClassicTimes>> {
  await stage.downtime();
  const times = await procedureE(stage);
  const { ms: downtimeMs } = await stage.downtime();
  await tidy(stage, () => [ASIDE, COPY]);
  onProgress(
    `bench: by hand, ${seconds(downtimeMs)} down: ${times.lines.map(({ what, ms }) => `${what} ${seconds(ms)}`).join(', ')}`,
  );
  return { times, downtimeMs };
}

async function keyturnRound(
  stage: RestoreStage,
  id: string,
  onProgress: (line: string) => void,
): Promise<Round<RestoreTimes>> {
  await stage.downtime();
  const times = await stage.restore(id);
  const { ms: downtimeMs } = await stage.downtime();
  const { phases, oldData } = times.report;
  await tidy(stage, (name) => [
    ...oldData.flatMap(({ node, paths }) => (node === name ? paths : [])),
    `/var/lib/keyturn/${id}`,
  ]);
  onProgress(
    `bench: by Keyturn, ${seconds(downtimeMs)} down: ${phases.map(({ name }) => `${name} ${seconds(phaseMs(times.report, name))}`).join(', ')}`,
  );
  return { times, downtimeMs };
}

/** What a round left is removed, and what is still to be written is written: the next one shall not pay for it. */
async function tidy({ cluster }: RestoreStage, leftovers: (node: string) => readonly string[]): Promise<void> {
  for (const node of cluster.nodes) await node.exec(['rm', '-rf', ...leftovers(node.name)]);
  for (const node of cluster.nodes) await node.exec(['sync']);
}

function tell(
  classic: readonly Round<ClassicTimes>[],
  keyturn: readonly Round<RestoreTimes>[],
  result: (name: string, value: number, unit: string) => void,
): void {
  const of = <T>(rounds: readonly Round<T>[], ms: (round: Round<T>) => number): number => median(rounds.map(ms)) / 1000;
  const downtime = of(keyturn, ({ downtimeMs }) => downtimeMs);
  const classicDowntime = of(classic, ({ downtimeMs }) => downtimeMs);
  const fetch = of(keyturn, ({ times }) => phaseMs(times.report, 'fetch'));
  const copies = of(classic, ({ times }) => times.lines.find(({ what }) => what.startsWith('copy'))?.ms ?? Number.NaN);
  result('classic_downtime', classicDowntime, 's');
  result('downtime', downtime, 's');
  result('downtime_ratio', downtime / classicDowntime, 'ratio');
  result(
    'told_downtime',
    of(keyturn, ({ times }) => times.report.downtimeMs ?? Number.NaN),
    's',
  );
  result(
    'classic_total',
    of(classic, ({ times }) => times.totalMs),
    's',
  );
  result(
    'total_seconds',
    of(keyturn, ({ times }) => times.totalMs),
    's',
  );
  result('classic_fetch_seconds', copies, 's');
  result('fetch_seconds', fetch, 's');
  result('fetch_ratio', fetch / copies, 'ratio');
  result('peak_memory_mb', Math.max(...keyturn.map(({ times }) => times.peakMemory)) / 1e6, 'MB');
}

function phaseMs({ phases }: RestoreReport, wanted: PhaseName): number {
  const phase = phases.find(({ name }) => name === wanted);
  return phase?.endedAt === undefined ? Number.NaN : Date.parse(phase.endedAt) - Date.parse(phase.startedAt);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
