/** Owns what every StepRunner must do; run on the fake, on plain processes, and on a real node. */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeSteps, RestoreOnNode, StepReport } from '../../src/ports.ts';

export interface StepBench {
  /** On a node that knows nothing yet of any restore. */
  on(restore: RestoreOnNode): NodeSteps;
  readonly scripts: {
    /** Prints `one` and `two`, a line each, and ends well. */
    readonly prints: string;
    /** Prints `no` and exits 7. */
    readonly fails: string;
    /** Prints `up` and then takes half a minute. */
    readonly hangs: string;
  };
  /** An absolute path on the node that files may be put below. */
  readonly folder: string;
  close(): Promise<void>;
}

const MINUTE = { deadlineMs: 60_000 };
const BYTES = Buffer.from('the bytes of a snapshot');
const SHA256 = createHash('sha256').update(BYTES).digest('hex');

export function stepRunnerContract(name: string, start: () => Promise<StepBench>): void {
  describe(`${name} keep the contract of StepRunner`, () => {
    let bench: StepBench;
    const by = (token: number, request = 'r-1'): NodeSteps => bench.on({ cluster: 'prod', request, token });
    const end = async (step: string): Promise<StepReport> => {
      await by(1).look(step, { waitMs: 10_000, offset: 1_000_000_000 });
      return by(1).look(step);
    };

    beforeEach(async () => {
      bench = await start();
    });
    afterEach(async () => {
      for (const step of ['s', 'other']) await by(1_000_000).stop(step);
      await bench.close();
    });

    test('a step that nobody began is not started', async () => {
      const report = await by(1).look('s');
      expect(report).toEqual({ state: { kind: 'not-started' }, output: Buffer.alloc(0), offset: 0, outputSize: 0 });
    });

    test('a step that ended well is done, with 0 and what it printed', async () => {
      await by(1).start('s', bench.scripts.prints, MINUTE);
      const { state, output, outputSize } = await end('s');
      expect(state).toMatchObject({ kind: 'done', code: 0, endedBy: 'itself' });
      expect(output.toString()).toBe('one\ntwo\n');
      expect(outputSize).toBe(8);
    });

    test('who begins a step can wait for its end, and has its output at once', async () => {
      const { state, output } = await by(1).start('s', bench.scripts.prints, { ...MINUTE, waitMs: 10_000 });
      expect(state).toMatchObject({ kind: 'done', code: 0, endedBy: 'itself' });
      expect(output.toString()).toBe('one\ntwo\n');
      const other = await by(1).start('other', bench.scripts.hangs, { ...MINUTE, waitMs: 100 });
      expect(other.state.kind).toBe('running');
    });

    test('a step that needs no doing is not begun, and one that was begun is as it is', async () => {
      const needless = { ...MINUTE, unless: bench.scripts.prints };
      expect((await by(1).start('s', bench.scripts.hangs, needless)).state).toEqual({ kind: 'not-started' });
      expect((await by(1).look('s')).state).toEqual({ kind: 'not-started' });
      await by(1).start('s', bench.scripts.hangs, { ...MINUTE, unless: bench.scripts.fails });
      expect((await by(1).start('s', bench.scripts.hangs, needless)).state.kind).toBe('running');
    });

    test('a step that failed is done, with its code', async () => {
      await by(1).start('s', bench.scripts.fails, MINUTE);
      const { state, output } = await end('s');
      expect(state).toMatchObject({ kind: 'done', code: 7, endedBy: 'itself' });
      expect(output.toString()).toBe('no\n');
    });

    test('output is told from where the last look ended', async () => {
      await by(1).start('s', bench.scripts.prints, MINUTE);
      await end('s');
      const { output, offset } = await by(1).look('s', { offset: 4 });
      expect(output.toString()).toBe('two\n');
      expect(offset).toBe(4);
    });

    test('a look that waits answers as soon as something was printed', async () => {
      await by(1).start('s', bench.scripts.hangs, MINUTE);
      const { state, output } = await by(1).look('s', { waitMs: 10_000 });
      expect(state.kind).toBe('running');
      expect(output.toString()).toBe('up\n');
    });

    test('a step that is begun again is the one that was begun', async () => {
      await by(1).start('s', bench.scripts.fails, MINUTE);
      const first = await end('s');
      expect(await by(1).start('s', bench.scripts.fails, MINUTE)).toEqual(first);
      expect(await by(2).start('s', bench.scripts.fails, MINUTE)).toEqual(first);
    });

    test('the same step with another script is refused', async () => {
      await by(1).start('s', bench.scripts.prints, MINUTE);
      const other = by(1).start('s', bench.scripts.fails, MINUTE);
      await expect(other).rejects.toMatchObject({ code: 'node.step-refused' });
    });

    test('a second step waits its turn: while one runs another is refused, in whichever restore', async () => {
      await by(1).start('s', bench.scripts.hangs, MINUTE);
      for (const request of ['r-1', 'r-2']) {
        const other = by(1, request).start('other', bench.scripts.prints, MINUTE);
        await expect(other).rejects.toMatchObject({ code: 'node.step-refused' });
        expect((await by(1, request).look('other')).state.kind).toBe('not-started');
      }
      await by(1).stop('s');
      expect((await by(1).start('other', bench.scripts.prints, MINUTE)).state.kind).not.toBe('not-started');
    });

    test('a lower token than the highest seen is refused whatever it asks, and changes nothing', async () => {
      await by(2).look('s');
      const signal = new AbortController().signal;
      const path = `${bench.folder}/fenced.db`;
      const attempts = [
        () => by(1).start('s', bench.scripts.prints, MINUTE),
        () => by(1).look('s'),
        () => by(1).stop('s'),
        () => by(1).fetch({ path, size: BYTES.length, sha256: SHA256 }, () => bytes(), { signal }),
      ];
      for (const attempt of attempts) await expect(attempt()).rejects.toMatchObject({ code: 'lease.lost' });
      expect((await by(2).look('s')).state.kind).toBe('not-started');
    });

    test('a higher token sees the step that a lower one began', async () => {
      await by(1).start('s', bench.scripts.hangs, MINUTE);
      expect((await by(2).look('s')).state.kind).toBe('running');
      expect((await by(2).start('s', bench.scripts.hangs, MINUTE)).state.kind).toBe('running');
    });

    test('a step that takes longer than its deadline is ended and told so', async () => {
      await by(1).start('s', bench.scripts.hangs, { deadlineMs: 200 });
      expect((await end('s')).state).toMatchObject({ kind: 'done', endedBy: 'deadline' });
    });

    test('a step that is stopped has ended, and stopping it again is no error', async () => {
      await by(1).start('s', bench.scripts.hangs, MINUTE);
      expect((await by(1).stop('s')).state).toMatchObject({ kind: 'done', endedBy: 'stop' });
      expect((await by(1).stop('s')).state).toMatchObject({ kind: 'done', endedBy: 'stop' });
    });

    test('stopping what was never begun does nothing', async () => {
      expect((await by(1).stop('s')).state).toEqual({ kind: 'not-started' });
    });

    test('a script that only looks is answered at once, and leaves no step', async () => {
      const result = await by(1).ask(bench.scripts.fails, { timeoutMs: 10_000 });
      expect(result).toMatchObject({ code: 7, stderr: 'no\n' });
    });

    test('a file is put in place once; the second time its bytes are not asked for', async () => {
      const file = { path: `${bench.folder}/deep/x.db`, size: BYTES.length, sha256: SHA256 };
      const totals: number[] = [];
      const options = { signal: new AbortController().signal, onBytes: (total: number) => void totals.push(total) };
      expect(await by(1).fetch(file, () => bytes(), options)).toBe('fetched');
      expect(totals.at(-1)).toBe(BYTES.length);
      const refuse = (): never => {
        throw new Error('asked for bytes that are there');
      };
      expect(await by(2).fetch(file, refuse, options)).toBe('was-there');
    });

    test.each([
      ['too few', BYTES.subarray(1)],
      ['too many', Buffer.concat([BYTES, BYTES])],
      ['others', Buffer.from(BYTES.toString().toUpperCase())],
    ])('bytes that are not the file are refused: %s', async (_how, wrong) => {
      const file = { path: `${bench.folder}/y.db`, size: BYTES.length, sha256: SHA256 };
      const signal = new AbortController().signal;
      const fetched = by(1).fetch(file, () => bytes(wrong), { signal });
      await expect(fetched).rejects.toMatchObject({ code: 'etcd.snapshot-corrupt' });
      // Nothing is there: the right bytes are asked for again.
      expect(await by(1).fetch(file, () => bytes(), { signal })).toBe('fetched');
    });
  });
}

async function* bytes(all: Uint8Array = BYTES): AsyncGenerator<Uint8Array> {
  yield all.subarray(0, 10);
  yield all.subarray(10);
}
