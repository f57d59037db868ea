/**
 * Owns the backup benchmark: Keyturn's path (etcd's stream through SSH into S3) against the classic script on the same node,
 * one after the other in turn, and what both do to those who use etcd meanwhile.
 */
import { readFileSync } from 'node:fs';
import type { BackupReport } from './keyturn.ts';
import type { Program } from './programs.ts';
import { median, percentile, type Result } from './results.ts';
import { openStage, type Stage } from './stage.ts';

export interface BackupBenchOptions {
  /** Bytes in etcd. */
  readonly size: number;
  /** Rounds of each. */
  readonly runs: number;
  readonly onProgress: (line: string) => void;
  readonly onResult: (result: Result) => void;
}

const RATE_LIMIT = 50_000_000;
const ROUND_TRIP_MS = 50;
const PUTS_PER_SECOND = 100;
const IDLE_MS = 10_000;
/** clock ticks a second, on every Linux that Node runs on. */
const TICKS = 100;

export async function benchBackup({ size, runs, onProgress, onResult }: BackupBenchOptions): Promise<void> {
  const stage = await openStage(size, onProgress);
  const tell = (name: string, value: number, unit: string, count = runs): void =>
    onResult({ name: `backup.${name}`, value: Number(value.toPrecision(4)), unit, runs: count });
  try {
    // Memory and disks are slow at first touch.
    onProgress('bench: warming up');
    await stage.classic();
    await stage.backup(stage.cluster({}), 'warm-up');

    await compareTimes(stage, runs, onProgress, tell);
    await compareEncoded(stage, runs, onProgress, tell);
    await compareDisk(stage, onProgress, tell);
    await compareLatency(stage, runs, onProgress, tell);
    await measureFarAway(stage, runs, onProgress, tell);
  } finally {
    await stage.stop();
  }
}

type Tell = (name: string, value: number, unit: string, count?: number) => void;

async function compareTimes(stage: Stage, runs: number, onProgress: (line: string) => void, tell: Tell): Promise<void> {
  const classic: Cost[] = [];
  const keyturn: Cost[] = [];
  const reports: BackupReport[] = [];
  for (let round = 1; round <= runs; round += 1) {
    onProgress(`bench: times, round ${round} of ${runs}`);
    classic.push(await cost(() => stage.classic()));
    let wallMs = 0;
    const spent = await cost(async () => {
      const report = await stage.backup(stage.cluster({}), `time-${round}`);
      reports.push(report);
      wallMs = report.wallMs;
    });
    // A worker is up long before its job: the start of the process is not counted.
    keyturn.push({ ...spent, seconds: wallMs / 1000 });
    await stage.empty();
  }
  const seconds = (costs: readonly Cost[]): number => median(costs.map((c) => c.seconds));
  const cpu = (costs: readonly Cost[]): number => median(costs.map((c) => c.cpuSeconds));
  tell('classic_wall', seconds(classic), 's');
  tell('wall', seconds(keyturn), 's');
  tell('wall_ratio', seconds(keyturn) / seconds(classic), 'ratio');
  tell('classic_cpu', cpu(classic), 's');
  tell('cpu', cpu(keyturn), 's');
  tell('cpu_ratio', cpu(keyturn) / cpu(classic), 'ratio');
  tell('snapshot_bytes', median(reports.map(({ bytes }) => bytes)), 'B');
  tell('throughput', median(reports.map(({ bytes, wallMs }) => bytes / wallMs / 1000)), 'MB/s');
  tell('peak_memory_mb', Math.max(...reports.map(({ peakMemory }) => peakMemory)) / 1e6, 'MB');
  tell('bot_disk_bytes', Math.max(...reports.map(({ diskBytes }) => diskBytes)), 'B');
}

/** To two stores: plain, and compressed and encrypted. */
async function compareEncoded(
  stage: Stage,
  runs: number,
  onProgress: (line: string) => void,
  tell: Tell,
): Promise<void> {
  const stores = stage.stores.map(({ name }) => name);
  const plain: BackupReport[] = [];
  const encoded: BackupReport[] = [];
  const reads: number[] = [];
  for (let round = 1; round <= runs; round += 1) {
    onProgress(`bench: two stores, round ${round} of ${runs}`);
    plain.push(await stage.backup(stage.cluster({ stores }), `two-${round}`));
    await stage.empty();
    const before = await stage.snapshotReads();
    encoded.push(await stage.encodedBackup(stage.cluster({ stores, compression: 'zstd' }), `encoded-${round}`));
    reads.push((await stage.snapshotReads()) - before);
    await stage.empty();
  }
  const wall = (reports: readonly BackupReport[]): number => median(reports.map(({ wallMs }) => wallMs)) / 1000;
  tell('two_stores_wall', wall(plain), 's');
  tell('encoded_two_stores_wall', wall(encoded), 's');
  tell('encoded_two_stores_wall_ratio', wall(encoded) / wall(plain), 'ratio');
  tell('encoded_stored_share', median(encoded.map(({ bytes, storedBytes }) => storedBytes / bytes)), 'ratio');
  tell('encoded_peak_memory_mb', Math.max(...encoded.map(({ peakMemory }) => peakMemory)) / 1e6, 'MB');
  tell('snapshot_reads', Math.max(...reads), 'reads');
}

interface Cost {
  readonly seconds: number;
  /** Of the whole machine: bot, node and store share it. */
  readonly cpuSeconds: number;
}

async function cost(run: () => Promise<unknown>): Promise<Cost> {
  const cpuBefore = busySeconds();
  const started = performance.now();
  await run();
  return { seconds: (performance.now() - started) / 1000, cpuSeconds: busySeconds() - cpuBefore };
}

/** user, nice, system, irq, softirq and steal of /proc/stat. */
function busySeconds(): number {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n')[0]?.split(/\s+/).slice(1).map(Number) ?? [];
  return [0, 1, 2, 5, 6, 7].reduce((sum, i) => sum + (fields[i] ?? 0), 0) / TICKS;
}

/** The most that is on the node's disk at any moment, beside etcd's own data and logs. */
async function compareDisk(stage: Stage, onProgress: (line: string) => void, tell: Tell): Promise<void> {
  onProgress('bench: disk');
  const classic = await mostOnDisk(stage, () => stage.classic());
  const keyturn = await mostOnDisk(stage, () => stage.backup(stage.cluster({}), 'disk'));
  await stage.empty();
  tell('classic_node_disk_bytes', classic, 'B', 1);
  tell('node_disk_bytes', keyturn, 'B', 1);
}

const PLACES = [
  '/tmp',
  '/var/tmp',
  '/var/backups',
  '/var/lib',
  '/var/cache',
  '/root',
  '/home',
  '/run',
  '/srv',
  '/opt',
  '/etc',
];

async function mostOnDisk(stage: Stage, run: () => Promise<unknown>): Promise<number> {
  const look = async (): Promise<number> => {
    const argv = ['du', '--summarize', '--total', '--bytes', '--exclude=/var/lib/etcd', ...PLACES];
    const { stdout } = await stage.node.exec(argv);
    return Number(/^(\d+)\ttotal$/m.exec(stdout)?.[1]);
  };
  const before = await look();
  let most = before;
  const done = new AbortController();
  const watching = (async () => {
    while (!done.signal.aborted) {
      most = Math.max(most, await look());
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  await run().finally(() => done.abort());
  await watching;
  return most - before;
}

async function compareLatency(
  stage: Stage,
  runs: number,
  onProgress: (line: string) => void,
  tell: Tell,
): Promise<void> {
  const idle: number[] = [];
  const classic: number[] = [];
  const keyturn: number[] = [];
  const limited: number[] = [];
  const loaded = async (samples: number[], run: () => Promise<unknown>): Promise<void> => {
    const load: Program = stage.start('put-load', { access: stage.access, perSecond: PUTS_PER_SECOND });
    await load.line();
    await run();
    const end = load.end();
    samples.push(...(JSON.parse(await load.line()) as number[]));
    await end;
  };
  for (let round = 1; round <= runs; round += 1) {
    onProgress(`bench: latency of etcd, round ${round} of ${runs}`);
    await loaded(idle, () => new Promise((resolve) => setTimeout(resolve, IDLE_MS)));
    await loaded(classic, () => stage.classic());
    await loaded(keyturn, () => stage.backup(stage.cluster({}), `latency-${round}`));
    await loaded(limited, () => stage.backup(stage.cluster({ rateLimit: RATE_LIMIT }), `limited-${round}`));
    await stage.empty();
  }
  tell('put_p99_idle', p99(idle), 'ms');
  tell('put_p99_classic', p99(classic), 'ms');
  tell('put_p99', p99(keyturn), 'ms');
  tell('put_p99_limited', p99(limited), 'ms');
  tell('put_p99_ratio_classic', p99(keyturn) / p99(classic), 'ratio');
  tell('put_p99_ratio_idle', p99(limited) / p99(idle), 'ratio');
}

async function measureFarAway(
  stage: Stage,
  runs: number,
  onProgress: (line: string) => void,
  tell: Tell,
): Promise<void> {
  const speeds: number[] = [];
  const target = { host: stage.node.address, port: 22 };
  const proxy = stage.start('far-away', { target, roundTripMs: ROUND_TRIP_MS });
  const port = Number(await proxy.line());
  for (let round = 1; round <= runs; round += 1) {
    onProgress(`bench: ${ROUND_TRIP_MS} ms away, round ${round} of ${runs}`);
    const report = await stage.backup(stage.cluster({ ssh: { address: '127.0.0.1', port } }), `far-${round}`);
    speeds.push(report.bytes / report.wallMs / 1000);
    await stage.empty();
  }
  await proxy.end();
  tell('throughput_50ms', median(speeds), 'MB/s');
}

function p99(values: readonly number[]): number {
  return percentile(values, 0.99);
}
