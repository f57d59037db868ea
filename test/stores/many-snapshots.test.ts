/** Ten thousand snapshots in one place of a real S3 server: what they cost in requests and memory, and how long they take. */
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store } from '../../src/adapters/stores/s3.ts';
import { startTestS3, type TestS3 } from '../adapters/stores/swift.ts';
import { silentLog, spec } from '../chat/samples.ts';
import { writeSnapshots } from '../support/many-snapshots.ts';
import { somebody } from '../support/requests.ts';
import { restoreWorld } from '../support/restore-world.ts';

const COUNT = 10_000;
/** Object and manifest of each, a thousand names a page. */
const PAGES = (2 * COUNT) / 1000;
const NEWEST = new Date('2026-11-21T06:00:00.000Z');
const MB = 1e6;
const person = somebody('U0NOOR');

let s3: TestS3;
let counted: Awaited<ReturnType<typeof countingProxy>>;

beforeAll(async () => {
  s3 = await startTestS3({ sizeLimit: 400 * MB });
  const began = performance.now();
  await writeSnapshots(s3Store(s3.options, systemClock), 'prod-eu', COUNT, NEWEST);
  say(`${COUNT} snapshots written`, performance.now() - began);
  counted = await countingProxy(s3.endpoint);
}, 900_000);
afterAll(async () => {
  counted.server.closeAllConnections();
  counted.server.close();
  await s3.remove();
});
beforeEach(() => {
  counted.requests = 0;
});

/** Passes everything on and counts it. The signature holds: it is of the host that the client sees. */
async function countingProxy(
  endpoint: string,
): Promise<{ readonly server: Server; endpoint: string; requests: number }> {
  const target = new URL(endpoint);
  const result = { server: createServer(), endpoint: '', requests: 0 };
  result.server.on('request', (asked, answer) => {
    result.requests += 1;
    const { method, url, headers } = asked;
    const onward = request({ host: target.hostname, port: target.port, method, path: url, headers }, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers);
      got.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    asked.pipe(onward);
  });
  result.server.listen(0, '127.0.0.1');
  await once(result.server, 'listening');
  result.endpoint = `http://127.0.0.1:${(result.server.address() as AddressInfo).port}`;
  return result;
}

function say(what: string, ms: number): void {
  console.log(`${what}: ${(ms / 1000).toFixed(2)} s`);
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work();
  say(what, performance.now() - began);
  return result;
}

function world() {
  const store = s3Store({ ...s3.options, endpoint: counted.endpoint }, systemClock);
  const all = catalogue([store], () => [store.name]);
  const { commands } = restoreWorld({
    clusters: [spec('prod-eu', { stores: [store.name] })],
    people: { request: [person.id], approve: [], operate: [] },
    stores: new Map([[store.name, store]]),
    catalogue: all,
    clock: systemClock,
    log: silentLog,
  });
  return { all, commands };
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
function heap(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

describe(`${COUNT} snapshots`, () => {
  test('are listed with one request for a thousand names, and no manifest', async () => {
    const { all } = world();
    const { entries, strays, problems } = await timed('listing', () => all.entries('prod-eu'));
    expect(entries).toHaveLength(COUNT);
    expect([strays, problems]).toEqual([[], []]);
    expect(entries[0]?.takenAt).toBe(NEWEST.toISOString());
    expect(counted.requests).toBeLessThanOrEqual(PAGES + 1);
  });

  test('are one list for all who ask at the same time', async () => {
    const { all } = world();
    const lists = await Promise.all([1, 2, 3].map(() => all.entries('prod-eu')));
    expect(lists.map(({ entries }) => entries.length)).toEqual([COUNT, COUNT, COUNT]);
    expect(counted.requests).toBeLessThanOrEqual(PAGES + 1);
  });

  test('are shown page by page: ten manifests a page, and the next page asks for no new list at once', async () => {
    const { commands } = world();
    const show = (page: number, filters: readonly string[] = []) =>
      commands.listSnapshots(person, { cluster: 'prod-eu', filters, page });
    const first = await timed('/etcd snapshots', () => show(0));
    expect(first).toMatchObject({ total: COUNT, pages: COUNT / 10, lines: { length: 10 }, problems: [] });
    expect(first.lines.every(({ record }) => record !== undefined)).toBe(true);
    expect(counted.requests).toBeLessThanOrEqual(PAGES + 1 + 10);
    const before = counted.requests;
    await timed('/etcd snapshots, last page', () => show(COUNT / 10 - 1));
    expect(counted.requests - before).toBeLessThanOrEqual(10);
    const narrowed = await timed('/etcd snapshots with filters', () => show(0, ['2026-11', 'missing:swift']));
    expect(narrowed).toMatchObject({ fitting: 0, total: COUNT });
  });

  test('cost the overview a list and one manifest, and a search those that it shows', async () => {
    const { commands } = world();
    const { rows } = await timed('/etcd clusters', () => commands.showClusters(person));
    expect(rows[0]?.lastGood?.at).toBe(NEWEST.toISOString());
    expect(counted.requests).toBeLessThanOrEqual(PAGES + 2);
    const before = counted.requests;
    const search = () => timed('a search', () => commands.findSnapshots(person, 'prod-eu', '2026-11'));
    // A search that waits no longer than Slack does finds what it looks for once the listing is there.
    await expect.poll(async () => (await search()).length, { timeout: 60_000, interval: 500 }).toBe(100);
    expect(counted.requests - before).toBeLessThanOrEqual(PAGES + 1 + 100);
  });

  test('take no more memory the more often they are listed', async () => {
    const { all } = world();
    /** Heap while the list is held. */
    const listOnce = async (round: number): Promise<number> => {
      const { entries } = await all.entries('prod-eu');
      for (const entry of entries.slice(round * 10, round * 10 + 10)) await all.record(entry);
      const held = heap();
      expect(entries).toHaveLength(COUNT);
      return held;
    };
    const settledHeap = async (): Promise<number> => {
      await new Promise((resolve) => setImmediate(resolve));
      return heap();
    };
    await listOnce(0);
    const before = await settledHeap();
    let most = 0;
    for (let round = 1; round <= 8; round += 1) most = Math.max(most, await listOnce(round));
    const growth = (await settledHeap()) - before;
    console.log(
      `heap: ${(growth / MB).toFixed(1)} MB more after 8 listings; ${((most - before) / MB).toFixed(1)} MB a list`,
    );
    expect(growth).toBeLessThan(8 * MB);
    // Less than a kilobyte a snapshot, while the list is held.
    expect(most - before).toBeLessThan(30 * MB);
  });
});
