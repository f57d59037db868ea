/** What every store does when its server, the line to it, or what it was told about it fails; written against the port alone. */
import { createHash, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { KeyturnError, type ErrorCode } from '../../src/domain/error.ts';
import type { SnapshotStore, Upload } from '../../src/ports.ts';

/** A store on a real server of its own, and the hands that make it fail. It is empty when handed over. */
export interface FaultyStore {
  /** Tuned to give up within half a minute on a server that is away or stands still, and to wait out a quick restart. */
  readonly store: SnapshotStore;
  /** Once so many bytes are written, some are on their way to the server; default 64 KiB. */
  readonly seenAfterBytes?: number;
  /** Ends the server with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again with the same data; resolves when it serves. */
  restart(): Promise<void>;
  /** It stands still: what comes is accepted by the kernel and never answered. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** The same place through a line of so many bytes a second, each way, with the time limits that people get by default. */
  slow(bytesPerSecond: number): Promise<SnapshotStore>;
  /** A place with room for about so many bytes, empty. Called once. */
  full(bytes: number): Promise<SnapshotStore>;
  /** Called after objects were removed from the full store, where that alone does not make room at once. */
  makeRoom?(): Promise<void>;
  /** The same place with credentials that it does not take, and with the tries and pauses that people get by default. */
  readonly wrongCredentials: SnapshotStore;
  /** The same place, where what the server shows (host key, certificate) is not what is expected. */
  readonly wrongPeer: {
    readonly store: SnapshotStore;
    /** Default `store.refused`. */
    readonly code?: ErrorCode;
    /** Said in message or hint: what was expected and what was shown, as far as the protocol tells. */
    readonly names: readonly string[];
  };
  /** In no error, nor in what it holds: keys, passwords, tokens. */
  readonly secrets: readonly string[];
  /** Ends what was started. */
  close(): Promise<void>;
}

const MB = 1_000_000;
const MiB = 1024 * 1024;
const never = new AbortController().signal;
/** Within it everything that can't succeed has failed. */
const BOUND_MS = 60_000;
/** Too short for any second try after a pause. */
const AT_ONCE_MS = 5_000;

/** `make` is called once; each test works under a name of its own. */
export function snapshotStoreFaults(name: string, make: () => Promise<FaultyStore>): void {
  describe(`${name} when things fail`, { timeout: 300_000 }, () => {
    let made: FaultyStore;
    let store: SnapshotStore;
    let cluster = '';
    let key = '';

    beforeAll(async () => {
      made = await make();
      store = made.store;
    });
    afterAll(() => made.close());
    beforeEach(() => {
      cluster = `c${randomBytes(6).toString('hex')}`;
      key = `${cluster}/a.db`;
    });

    /** At least four times what makes an upload seen: its middle is in the midst of it. */
    const bigBody = (): Buffer => randomBytes(Math.max(8 * MiB, 4 * (made.seenAfterBytes ?? 65_536) + 12_345));
    let isDown = false;
    const restart = async (): Promise<void> => {
      await made.restart();
      isDown = false;
    };
    const kill = async (): Promise<void> => {
      onTestFinished(async () => (isDown ? restart() : undefined));
      isDown = true;
      await made.kill();
    };
    const pause = async (): Promise<void> => {
      onTestFinished(() => made.resume());
      await made.pause();
    };
    /** What `action` fails with: in our words, with a hint, without a secret. */
    const problemOf = async (action: () => Promise<unknown>): Promise<KeyturnError> => {
      const error = await failureOf(action);
      if (!(error instanceof KeyturnError)) throw new Error(`expected a KeyturnError, not ${inspect(error)}`);
      expect(error.code).toMatch(/^(store\.|ssh\.host-key$)/);
      expect(error.hint).toMatch(/\w/);
      const told = `${error.message} ${error.hint} ${inspect(error, { depth: 20, showHidden: true })}`;
      for (const secret of made.secrets) expect(told).not.toContain(secret);
      return error;
    };
    const expectNothingLeft = async (of = store): Promise<void> => {
      expect(await all(of.list(`${cluster}/`))).toEqual([]);
      expect(await all(of.openUploads(`${cluster}/`))).toEqual([]);
    };

    test('a server that is killed in mid-upload and started again: what was sent is whole, or the upload says that the server is away', async () => {
      const body = bigBody();
      let back = Promise.resolve();
      const open = await store.beginUpload(key, never);
      const failed = await failureOf(() =>
        send(open, body, async () => {
          await kill();
          back = restart();
        }),
      );
      await back;
      if (failed === undefined) {
        expect(await read(store, key)).toEqual(digestOf(body));
        expect((await all(store.list(`${cluster}/`))).map((object) => object.key)).toEqual([key]);
        expect(await all(store.openUploads(`${cluster}/`))).toEqual([]);
        return;
      }
      expect(failed).toMatchObject({ code: 'store.unreachable' });
      await open.abort();
      await expectNothingLeft();
    });

    test('a server that is killed in mid-upload and stays away ends the upload; once it is back, an abort leaves nothing', async () => {
      const open = await store.beginUpload(key, never);
      const problem = await within(
        BOUND_MS,
        problemOf(() => send(open, bigBody(), kill)),
      );
      expect(problem.code).toBe('store.unreachable');
      const abortFailed = await within(
        BOUND_MS,
        failureOf(() => open.abort()),
      );
      if (abortFailed !== undefined) expect(abortFailed).toMatchObject({ code: 'store.unreachable' });
      await restart();
      await open.abort();
      await expectNothingLeft();
      expect(await store.stat(key)).toBeUndefined();
    });

    test('what a killed upload left is found among the open uploads, by whoever comes after, and can be aborted', async () => {
      const open = await store.beginUpload(key, never);
      await failureOf(() => send(open, bigBody(), kill));
      await restart();
      for (const left of await all(store.openUploads(`${cluster}/`))) await store.abortUpload(left);
      await expectNothingLeft();
    });

    test.each([
      ['and stays away', async () => undefined],
      ['and is started again', () => restart()],
    ])('a server that is killed in mid-read %s: every byte comes, or an error', async (_, andThen) => {
      const body = randomBytes(24 * MiB);
      await send(await store.beginUpload(key, never), body);
      const hash = createHash('sha256');
      let size = 0;
      const failed = await within(
        BOUND_MS,
        failureOf(async () => {
          for await (const chunk of await store.read(key, never)) {
            if (size === 0) {
              await kill();
              await andThen();
            }
            hash.update(chunk as Buffer);
            size += (chunk as Buffer).length;
          }
        }),
      );
      if (failed === undefined) expect({ size, sha256: hash.digest('hex') }).toEqual(digestOf(body));
      else expect(failed).toMatchObject({ code: 'store.unreachable' });
    });

    test('a server that was started again keeps what it had acknowledged', async () => {
      const body = bigBody();
      await send(await store.beginUpload(key, never), body);
      await kill();
      await restart();
      expect(await read(store, key)).toEqual(digestOf(body));
    });

    test('a slow line costs time and nothing else', async () => {
      const slow = await made.slow(500_000);
      const body = randomBytes(2 * MB);
      const before = Date.now();
      await send(await slow.beginUpload(key, never), body);
      expect(Date.now() - before).toBeGreaterThan(3_000);
      expect(await read(slow, key)).toEqual(digestOf(body));
      expect(Date.now() - before).toBeGreaterThan(6_000);
    });

    test('a writer that is faster than the line is held up: memory stays flat', async () => {
      const slow = await made.slow(500_000);
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(new Error('seen enough')), 5_000);
      const memory = watchMemory();
      const chunk = randomBytes(MiB);
      let accepted = 0;
      const open = await slow.beginUpload(key, stop.signal);
      const failed = await failureOf(async () => {
        for (; accepted < 512 * MiB; accepted += chunk.length) await open.write(chunk);
      });
      clearTimeout(timer);
      expect(failed).toMatchObject({ message: 'seen enough' });
      expect(memory.end()).toBeLessThan(100 * MiB);
      await open.abort();
      await expectNothingLeft();
    });

    test('a reader that is slower than the line does not make us hold the object: memory stays flat', async () => {
      const body = randomBytes(96 * MiB);
      await send(await store.beginUpload(key, never), body);
      const memory = watchMemory();
      const hash = createHash('sha256');
      let size = 0;
      for await (const chunk of await store.read(key, never)) {
        if (size === 0) await pass(1_500);
        hash.update(chunk as Buffer);
        size += (chunk as Buffer).length;
      }
      expect(memory.end()).toBeLessThan(64 * MiB);
      expect({ size, sha256: hash.digest('hex') }).toEqual(digestOf(body));
    });

    test('a server that stands still is given up on in bounded time: upload, read, list, check', async () => {
      await store.put(`${cluster}/b.json`, Buffer.from('{}'));
      const open = await store.beginUpload(key, never);
      const failing = problemOf(() => send(open, bigBody(), pause));
      expect((await within(BOUND_MS, failing)).code).toBe('store.unreachable');
      const others = [
        problemOf(() => read(store, `${cluster}/b.json`)),
        problemOf(() => all(store.list(`${cluster}/`))),
        problemOf(() => store.check()),
      ];
      for (const { code } of await within(BOUND_MS, Promise.all(others))) expect(code).toBe('store.unreachable');
      await made.resume();
      await open.abort();
      await store.remove(`${cluster}/b.json`);
      await expectNothingLeft();
    });

    test('a signal ends an upload, a read and a check at once, though the server stands still', async () => {
      const stop = new AbortController();
      const reason = new Error('told to stop');
      const open = await store.beginUpload(key, stop.signal);
      await send(open, randomBytes((made.seenAfterBytes ?? 65_536) + 1), undefined, false);
      await pause();
      const actions = [
        failureOf(() => send(open, bigBody())),
        failureOf(async () => read(store, `${cluster}/none`, stop.signal)),
        failureOf(() => store.check(stop.signal)),
      ];
      await pass(200);
      stop.abort(reason);
      for (const failed of actions) expect(await within(AT_ONCE_MS, failed)).toBe(reason);
      await made.resume();
      await open.abort();
      await expectNothingLeft();
    });

    test('a store that gets full refuses with a hint, keeps nothing of what did not fit, and takes more once there is room', async () => {
      const part = made.seenAfterBytes ?? 65_536;
      const room = Math.max(24 * MiB, 6 * part);
      const full = await made.full(room);
      const filler = `${cluster}-other/filler.db`;
      await send(await full.beginUpload(filler, never), randomBytes(Math.floor(room / 2)));
      const open = await full.beginUpload(key, never);
      const problem = await within(
        BOUND_MS,
        problemOf(() => send(open, randomBytes(room))),
      );
      expect(['store.full', 'store.refused']).toContain(problem.code);
      await open.abort();
      await expectNothingLeft(full);
      expect(await full.stat(key)).toBeUndefined();

      await full.remove(filler);
      await made.makeRoom?.();
      const body = randomBytes(Math.floor(room / 3));
      await send(await full.beginUpload(key, never), body);
      expect(await read(full, key)).toEqual(digestOf(body));
    });

    /** Everything that asks the server for something. */
    const everyWay = (of: SnapshotStore): Readonly<Record<string, () => Promise<unknown>>> => ({
      check: () => of.check(),
      upload: async () => {
        const open = await of.beginUpload(`${cluster}/new.db`, never);
        try {
          await send(open, randomBytes(100_000));
        } finally {
          await open.abort().catch(() => undefined);
        }
      },
      put: () => of.put(`${cluster}/new.json`, Buffer.from('{}')),
      read: () => read(of, key),
      get: () => of.get(key),
      stat: () => of.stat(key),
      list: () => all(of.list(`${cluster}/`)),
      remove: () => of.remove(key),
      openUploads: () => all(of.openUploads(`${cluster}/`)),
    });
    const untouched = async (): Promise<void> => {
      expect((await all(store.list(`${cluster}/`))).map((object) => object.key)).toEqual([key]);
      expect(await all(store.openUploads(`${cluster}/`))).toEqual([]);
    };

    test('wrong credentials are told as such, at once and without another try, whatever is asked for', async () => {
      await store.put(key, Buffer.from('here'));
      for (const [way, action] of Object.entries(everyWay(made.wrongCredentials))) {
        const problem = await within(AT_ONCE_MS, problemOf(action));
        expect([way, problem.code]).toEqual([way, 'store.credentials']);
      }
      await untouched();
    });

    test('a server that is not the one expected is refused, at once and for good, and the message says what it showed', async () => {
      await store.put(key, Buffer.from('here'));
      for (const [way, action] of Object.entries(everyWay(made.wrongPeer.store))) {
        const problem = await within(AT_ONCE_MS, problemOf(action));
        expect([way, problem.code]).toEqual([way, made.wrongPeer.code ?? 'store.refused']);
        for (const shown of made.wrongPeer.names) expect(`${problem.message} ${problem.hint}`).toContain(shown);
      }
      await untouched();
    });
  });
}

/** Writes `body` in chunks of 256 KiB and completes; `halfWay` is called in its middle. */
async function send(
  open: Upload,
  body: Buffer,
  halfWay: () => Promise<void> = async () => undefined,
  andComplete = true,
): Promise<void> {
  const step = 256 * 1024;
  let isHalfWay = false;
  for (let at = 0; at < body.length; at += step) {
    if (!isHalfWay && at >= body.length / 2) {
      isHalfWay = true;
      await halfWay();
    }
    await open.write(body.subarray(at, at + step));
  }
  if (andComplete) await open.complete();
}

interface Digest {
  readonly size: number;
  readonly sha256: string;
}

async function read(store: SnapshotStore, key: string, signal = never): Promise<Digest> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of await store.read(key, signal)) {
    hash.update(chunk as Buffer);
    size += (chunk as Buffer).length;
  }
  return { size, sha256: hash.digest('hex') };
}

function digestOf(body: Buffer): Digest {
  return { size: body.length, sha256: createHash('sha256').update(body).digest('hex') };
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function failureOf(action: () => Promise<unknown>): Promise<unknown> {
  return action().then(
    () => undefined,
    (error: unknown) => error ?? new Error('failed with nothing'),
  );
}

/** The result, or an error when it takes longer. */
async function within<T>(ms: number, result: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`still not settled after ${ms} ms`)), ms);
  });
  return Promise.race([result, late]).finally(() => clearTimeout(timer));
}

async function pass(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** Watches what buffers hold, outside of the garbage collector's heap; `end` answers the most that was added, in bytes. */
function watchMemory(): { end(): number } {
  const held = (): number => process.memoryUsage().external;
  const before = held();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, held());
  }, 50);
  return {
    end() {
      clearInterval(timer);
      return Math.max(most, held()) - before;
    },
  };
}
