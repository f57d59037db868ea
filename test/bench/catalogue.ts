/**
 * Owns the benchmark of the catalogue: what very many snapshots in one place cost to list and to show, on the local S3 server,
 * against a tenth of them and against reading every manifest.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store } from '../../src/adapters/stores/s3.ts';
import { inParallel } from '../../src/commands/deps.ts';
import type { SnapshotStore } from '../../src/ports.ts';
import { lookAtRetention } from '../../src/retention/look.ts';
import { startTestS3 } from '../adapters/stores/swift.ts';
import { silentLog, spec } from '../chat/samples.ts';
import { writeSnapshots } from '../support/many-snapshots.ts';
import { somebody } from '../support/requests.ts';
import { restoreWorld } from '../support/restore-world.ts';
import { retentionSpec } from '../support/specs.ts';
import { median, type Result } from './results.ts';

export interface CatalogueBenchOptions {
  /** Snapshots; each is two objects. */
  readonly count: number;
  readonly runs: number;
  readonly onProgress: (line: string) => void;
  readonly onResult: (result: Result) => void;
}

const NEWEST = new Date('2026-11-21T06:00:00.000Z');
/** Manifests that are read to tell what reading all of them would take. */
const SAMPLE = 200;
const AT_ONCE = 16;
const person = somebody('U0BENCH');

export async function benchCatalogue({ count, runs, onProgress, onResult }: CatalogueBenchOptions): Promise<void> {
  // In memory: what is measured is Keyturn and the server, not the disk of this machine.
  const s3 = await startTestS3({ sizeLimit: 50_000_000 + count * 30_000 });
  try {
    const store = s3Store(s3.options, systemClock);
    onProgress(`bench: writing ${count} snapshots, and ${count / 10}`);
    await writeSnapshots(store, 'many', count, NEWEST);
    await writeSnapshots(store, 'few', count / 10, NEWEST);
    onProgress(`bench: listing, ${runs} rounds`);
    const tell = (name: string, value: number, unit: string): void =>
      onResult({ name: `catalogue.${name}`, value: Number(value.toPrecision(4)), unit, runs });
    const many = await timesOf(runs, () => list(store, 'many'));
    const few = await timesOf(runs, () => list(store, 'few'));
    const page = await timesOf(runs, () => firstPage(store));
    tell(`list_${count}_ms`, many, 'ms');
    tell(`list_${count / 10}_ms`, few, 'ms');
    tell('list_ratio_to_a_tenth', many / few, 'ratio');
    tell('first_page_ms', page, 'ms');
    tell('retention_look_ms', await timesOf(runs, () => dryRun(store)), 'ms');
    const manifest = (await timesOf(runs, () => readManifests(store))) / SAMPLE;
    tell('every_manifest_ratio_to_list', (manifest * count) / many, 'ratio');
    tell('heap_growth_of_20_lists_mb', await heapGrowth(store), 'MB');
  } finally {
    await s3.remove();
  }
}

async function timesOf(runs: number, work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const began = performance.now();
    await work();
    times.push(performance.now() - began);
  }
  return median(times);
}

function list(store: SnapshotStore, cluster: string) {
  return catalogue([store], () => [store.name]).entries(cluster);
}

/** `/etcd snapshots`, asked for the first time. */
function firstPage(store: SnapshotStore): Promise<unknown> {
  const { commands } = restoreWorld({
    clusters: [spec('many', { stores: [store.name] })],
    stores: new Map([[store.name, store]]),
    catalogue: catalogue([store], () => [store.name]),
    clock: systemClock,
    log: silentLog,
  });
  return commands.listSnapshots(person, { cluster: 'many', filters: [], page: 0 });
}

/** What the dry run and the run of retention look at, and what they make of it. */
function dryRun(store: SnapshotStore): Promise<unknown> {
  const policy = { last: 5, hourly: 24, daily: 7, weekly: 4, monthly: 12 };
  const deps = {
    stores: new Map([[store.name, store]]),
    catalogue: catalogue([store], () => [store.name]),
    requests: { open: () => Promise.resolve([]) },
    retentionOf: () => retentionSpec({ policy }),
    clock: systemClock,
  };
  return lookAtRetention(deps, spec('many', { stores: [store.name] }));
}

async function readManifests(store: SnapshotStore): Promise<void> {
  const all = catalogue([store], () => [store.name]);
  const { entries } = await all.entries('few');
  await inParallel(entries.slice(0, SAMPLE), AT_ONCE, (entry) => all.record(entry));
}

async function heapGrowth(store: SnapshotStore): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heap = (): number => {
    collect();
    return process.memoryUsage().heapUsed / 1e6;
  };
  const all = catalogue([store], () => [store.name]);
  await all.entries('many');
  const before = heap();
  for (let round = 0; round < 20; round += 1) await all.entries('many');
  return heap() - before;
}
