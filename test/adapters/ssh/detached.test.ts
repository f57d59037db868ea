import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { detachedSteps, stepSudoers } from '../../../src/adapters/ssh/detached.ts';
import { MAX_OUTPUT, stepProgram, STEP_ARGV } from '../../../src/adapters/ssh/step-program.ts';
import type { NodeSteps, StepReport } from '../../../src/ports.ts';
import { localConnection } from '../../support/local-connection.ts';
import { stepRunnerContract } from '../../contracts/step-runner.ts';

const MINUTE = { deadlineMs: 60_000 };
let base: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'keyturn-steps-'));
});
afterEach(async () => {
  // Whatever a test left running ends with it.
  for (const pid of await pids()) kill(-pid);
  // Their keepers may still be writing down that they have ended.
  await rm(base, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
});

stepRunnerContract('detached steps by plain processes', async () => {
  const own = await mkdtemp(join(tmpdir(), 'keyturn-steps-'));
  const runner = detachedSteps({ base: own });
  return {
    on: (restore) => runner.on(localConnection(), restore),
    scripts: { prints: 'echo one; echo two >&2', fails: 'echo no >&2; exit 7', hangs: 'echo up; sleep 30' },
    folder: own,
    close: () => rm(own, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }),
  };
});

function steps(token = 1, request = 'r-1', onStart?: (pid: number) => void): NodeSteps {
  return detachedSteps({ base, lockSeconds: 5 }).on(localConnection(onStart), { cluster: 'prod', request, token });
}

/** What ran, told by a file that the script writes a line into each time. */
const ranOnce = (more = ''): string => `echo ran >> '${base}/ran'; ${more}`;
const runs = async (): Promise<number> =>
  (await readFile(join(base, 'ran'), 'utf8').catch(() => '')).split('ran').length - 1;

async function ended(step: string, by = steps()): Promise<StepReport> {
  await by.look(step, { waitMs: 10_000, offset: Number.MAX_SAFE_INTEGER });
  const report = await by.look(step);
  expect(report.state.kind).not.toBe('running');
  return report;
}

async function runLine(step = 's'): Promise<string[]> {
  return (await readFile(join(base, 'r-1', step, 'run'), 'utf8')).trim().split(' ');
}

/** The first process of every step of request r-1. */
async function pids(): Promise<number[]> {
  const known = await readdir(join(base, 'r-1')).catch(() => []);
  const lines = await Promise.all(known.map((step) => runLine(step).catch(() => [])));
  return lines.flatMap(([pid]) => (Number(pid) > 1 ? [Number(pid)] : []));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('a step that was begun', () => {
  test('goes on when whoever began it is killed in the middle', async () => {
    await steps().start('s', ranOnce('sleep 0.5; echo end'), MINUTE);
    const { state, output } = await ended('s');
    expect(state).toMatchObject({ kind: 'done', code: 0, endedBy: 'itself' });
    expect(output.toString()).toBe('end\n');
  });

  test.each([0, 3, 6, 10, 15, 20, 30, 45, 60, 90])(
    'runs at most once when its starter is killed after %i ms, and once when it is begun again',
    async (ms) => {
      const starter = steps(1, 'r-1', (pid) => setTimeout(() => kill(pid), ms));
      await starter.start('s', ranOnce(), MINUTE).catch(() => undefined);
      await steps().start('s', ranOnce(), MINUTE);
      expect((await ended('s')).state).toMatchObject({ kind: 'done', code: 0 });
      await sleep(100);
      expect(await runs()).toBe(1);
    },
  );

  test('runs once when eight starters begin it at once, and all see the same one', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => steps().start('s', ranOnce('sleep 0.3'), MINUTE)));
    expect(all.every(({ state }) => state.kind === 'running' || state.kind === 'done')).toBe(true);
    await ended('s');
    expect(await runs()).toBe(1);
    const [folder] = await readdir(join(base, 'r-1'));
    expect(folder).toBe('s');
  }, 20_000);

  test('has a folder that only its owner may enter, with script, token, output and exit code', async () => {
    await steps(7).start('s', 'echo hello', MINUTE);
    await ended('s', steps(7));
    const folder = join(base, 'r-1', 's');
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect(await readFile(join(folder, 'script'), 'utf8')).toBe('echo hello');
    expect(await readFile(join(folder, 'token'), 'utf8')).toBe('7\n');
    expect(await readFile(join(folder, 'output'), 'utf8')).toBe('hello\n');
    expect(await readFile(join(folder, 'exit'), 'utf8')).toMatch(/^0 itself \d{13} \d{13} *\n$/);
    expect((await readdir(folder)).sort()).toEqual(['exit', 'keeper', 'launch', 'output', 'run', 'script', 'token']);
  });

  test('keeps its script byte for byte', async () => {
    const script = `printf '%s' 'a "b" $c \\ \`d\` é'\n\n# end\n`;
    await steps().start('s', script, MINUTE);
    expect((await ended('s')).output.toString()).toBe('a "b" $c \\ `d` é');
    expect(await readFile(join(base, 'r-1', 's', 'script'), 'utf8')).toBe(script);
  });
});

describe('what became of a step', () => {
  test('it has vanished when its record is of another boot of the node', async () => {
    await steps().start('s', 'sleep 20', MINUTE);
    const line = await runLine();
    line[4] = '00000000-0000-0000-0000-000000000000';
    await writeFile(join(base, 'r-1', 's', 'run'), `${line.join(' ')}\n`);
    expect((await steps().look('s')).state).toMatchObject({ kind: 'vanished', why: 'rebooted' });
    await steps().start('s', 'sleep 20', MINUTE);
    expect((await steps().look('s')).state).toMatchObject({ kind: 'vanished', why: 'rebooted' });
  });

  test('it has vanished when its pids belong to other processes now', async () => {
    await steps().start('s', 'sleep 20', MINUTE);
    const line = await runLine();
    for (const pid of [line[0], line[2]]) kill(Number(pid));
    kill(-Number(line[0]));
    await vi.waitFor(async () => expect((await steps().look('s')).state.kind).toBe('vanished'), 5_000);
    // This test's own pid lives, but did not start when the record says.
    await writeFile(join(base, 'r-1', 's', 'run'), `${process.pid} 1 ${process.pid} 1 ${line.slice(4).join(' ')}\n`);
    expect((await steps().look('s')).state).toMatchObject({ kind: 'vanished', why: 'killed' });
  });

  test('it still runs when only its keeper was killed, then it has vanished', async () => {
    await steps().start('s', 'sleep 1', MINUTE);
    kill(Number((await runLine())[2]));
    expect((await steps().look('s')).state.kind).toBe('running');
    expect((await ended('s')).state).toMatchObject({ kind: 'vanished', why: 'killed' });
  });

  test('it still runs as long as a process of its group does, even when all that watched it were killed', async () => {
    await steps().start('s', 'sleep 2', MINUTE);
    const [pid, , keeper] = await runLine();
    kill(Number(keeper));
    kill(Number(pid));
    await vi.waitFor(() => expect(exists(Number(pid))).toBe(false), 5_000);
    expect((await steps().look('s')).state.kind).toBe('running');
    await steps().stop('s');
    expect((await steps().look('s')).state.kind).toBe('vanished');
  });

  test('the end of its process alone is told as done, with the code, not as vanished', async () => {
    for (let i = 0; i < 5; i++) {
      await steps().start(`s${i}`, 'exit 3', MINUTE);
      expect((await ended(`s${i}`)).state).toMatchObject({ kind: 'done', code: 3 });
    }
  });
});

describe('deadlines and bounds', () => {
  test('the node itself ends the whole process group when its time is over', async () => {
    await steps().start('s', `sleep 33 & echo $! > '${base}/child'; wait`, { deadlineMs: 300 });
    const { state } = await ended('s');
    expect(state).toMatchObject({ kind: 'done', code: 124, endedBy: 'deadline' });
    const child = Number(await readFile(join(base, 'child'), 'utf8'));
    await vi.waitFor(() => expect(exists(child)).toBe(false), 5_000);
  });

  test('a script that does not listen to TERM is killed', async () => {
    await steps().start('s', `trap '' TERM; while :; do sleep 0.2; done`, { deadlineMs: 200 });
    const { state } = await ended('s');
    expect(state).toMatchObject({ kind: 'done', code: 137, endedBy: 'deadline' });
  }, 20_000);

  test('the deadline holds when the keeper is gone', async () => {
    await steps().start('s', 'sleep 33', { deadlineMs: 1_000 });
    kill(Number((await runLine())[2]));
    expect((await ended('s')).state.kind).toBe('vanished');
  });

  test("an exit code of 124 of the script's own is no deadline", async () => {
    await steps().start('s', 'exit 124', MINUTE);
    expect((await ended('s')).state).toMatchObject({ code: 124, endedBy: 'itself' });
  });

  test('a script that prints without end is ended, and the disk is not filled', async () => {
    await steps().start('s', 'yes', MINUTE);
    const { state, outputSize } = await ended('s');
    expect(state).toMatchObject({ kind: 'done', endedBy: 'output' });
    expect(outputSize).toBe(MAX_OUTPUT);
  }, 20_000);

  test('what a script leaves running in its group is over when it is over', async () => {
    await steps().start('s', `sleep 33 & echo $! > '${base}/child'`, MINUTE);
    await ended('s');
    const child = Number(await readFile(join(base, 'child'), 'utf8'));
    await vi.waitFor(() => expect(exists(child)).toBe(false), 5_000);
  });

  test('a long output comes in pieces that fit together', async () => {
    await steps().start('s', 'seq 1 100000', MINUTE);
    const { outputSize } = await ended('s');
    let whole = Buffer.alloc(0);
    for (let i = 0; i < 10 && whole.length < outputSize; i++) {
      whole = Buffer.concat([whole, (await steps().look('s', { offset: whole.length })).output]);
    }
    expect(whole.toString()).toBe(Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join(''));
  });
});

describe('the fence', () => {
  test('a late keeper of a lower token does not begin when a higher one has only looked', async () => {
    await steps(1).start('s', ranOnce(), MINUTE);
    await ended('s');
    // As it stood before it was begun; its keeper comes only now.
    const folder = join(base, 'r-1', 's');
    for (const file of ['run', 'exit']) await rm(join(folder, file));
    await writeFile(join(folder, 'exit.new'), ' '.repeat(200));
    expect((await steps(2).look('s')).state.kind).toBe('not-started');
    const refused = join(folder, 'refused.1');
    const args = ['watch', folder, '1', join(base, '.fences', 'prod'), '5', '60000', '1000', refused];
    await localConnection().exec(['sh', join(folder, 'keeper'), ...args]);
    expect(await readFile(refused, 'utf8')).toBe('fenced 2\n');
    expect((await steps(2).look('s')).state.kind).toBe('not-started');
    expect(await runs()).toBe(1);
  });

  test('of two tokens that begin at once the lower never begins after the higher', async () => {
    const both = await Promise.allSettled([
      steps(1).start('a', 'sleep 0.2', MINUTE),
      steps(2).start('b', 'sleep 0.2', MINUTE),
    ]);
    expect(both.some(({ status }) => status === 'fulfilled')).toBe(true);
    await expect(steps(1).look('a')).rejects.toMatchObject({ code: 'lease.lost' });
  });

  test('clusters on one machine do not fence each other', async () => {
    await steps(9).look('s');
    const other = detachedSteps({ base }).on(localConnection(), { cluster: 'test', request: 'r-2', token: 1 });
    expect((await other.start('s', 'true', MINUTE)).state.kind).not.toBe('not-started');
  });
});

describe('files', () => {
  const bytes = Buffer.alloc(3_000_000, 'keyturn');
  const file = () => ({
    path: join(base, 'data', 'x.db'),
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  });
  const signal = new AbortController().signal;
  const inPieces = async function* (until = bytes.length): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < until; at += 100_000) yield bytes.subarray(at, Math.min(at + 100_000, until));
  };

  test('nothing but the whole file is ever at its place, and what a cut left is cleared up', async () => {
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield* inPieces(1_000_000);
      throw new Error('the store is away');
    };
    await expect(steps().fetch(file(), broken, { signal })).rejects.toThrow('the store is away');
    await vi.waitFor(async () => expect(await readdir(join(base, 'data'))).toEqual([]), 5_000);
    await writeFile(join(base, 'data', 'x.db.part.1'), 'left by kill -9');
    expect(await steps().fetch(file(), inPieces, { signal })).toBe('fetched');
    expect(await readdir(join(base, 'data'))).toEqual(['x.db']);
    expect((await readFile(file().path)).equals(bytes)).toBe(true);
  });

  test('a file that is damaged at its place is fetched anew', async () => {
    await steps().fetch(file(), inPieces, { signal });
    await writeFile(file().path, 'damaged');
    expect(await steps().fetch(file(), inPieces, { signal })).toBe('fetched');
    expect((await readFile(file().path)).equals(bytes)).toBe(true);
  });

  test('a disk without room for it is told before a byte is sent', async () => {
    const huge = { ...file(), size: Number.MAX_SAFE_INTEGER };
    const asked = vi.fn(inPieces);
    await expect(steps().fetch(huge, asked, { signal })).rejects.toMatchObject({ code: 'node.disk-full' });
    expect(asked).not.toHaveBeenCalled();
  });

  test('a signal ends it, and the next one starts anew', async () => {
    const stop = new AbortController();
    const slow = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 100_000);
      stop.abort(new Error('enough'));
      await sleep(50);
      yield bytes.subarray(100_000);
    };
    await expect(steps().fetch(file(), slow, { signal: stop.signal })).rejects.toThrow();
    expect(await steps().fetch(file(), inPieces, { signal })).toBe('fetched');
  });
});

test('a program that was cut off on its way does nothing', async () => {
  const program = stepProgram('start', {
    base,
    patience: 5,
    cluster: 'c',
    request: 'r',
    token: 1,
    step: 's',
    script: 'true',
    sha256: '',
    deadline: 1000,
    offset: 0,
  });
  for (const part of [0.1, 0.5, 0.9, 0.999]) {
    const { stdout } = await localConnection().exec(STEP_ARGV, { input: program.subarray(0, program.length * part) });
    expect(stdout.toString()).toBe('');
  }
  expect(await readdir(base)).toEqual([]);
});

test('the line of sudoers allows one command line and nothing else', () => {
  expect(stepSudoers('keyturn')).toBe(
    'keyturn ALL=(root) NOPASSWD: /usr/bin/sh -c read\\ -r\\ n\\ &&\\ program\\=$(head\\ -c\\ "$n")\\ &&\\ eval\\ "$program" keyturn-step\n',
  );
});
