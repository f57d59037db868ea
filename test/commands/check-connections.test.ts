import { describe, expect, test } from 'vitest';
import { checkConnections, renderProbe, type Probe } from '../../src/commands/check-connections.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import { fakeClock } from '../fakes/clock.ts';
import { silentLog } from '../jobs/world.ts';

async function linesOf(probes: readonly Probe[], advanceMs = 0): Promise<string[]> {
  const clock = fakeClock();
  const results = checkConnections(probes, { clock, log: silentLog, timeoutMs: 10_000 });
  const lines: string[] = [];
  const reading = (async () => {
    for await (const result of results) lines.push(renderProbe(result));
  })();
  // The probes start with the first read.
  await Promise.resolve();
  await clock.advance(advanceMs);
  await reading;
  return lines;
}

describe('every connection gets one line', () => {
  test('in the order of the probes, whichever answers first', async () => {
    const slow = { name: 'redis', run: () => new Promise<string>((resolve) => setTimeout(resolve, 20, 'Redis 7.0')) };
    const quick = { name: 'store ceph', run: async () => 'bucket etcd-backup' };
    expect(await linesOf([slow, quick])).toEqual(['✓ redis: Redis 7.0', '✓ store ceph: bucket etcd-backup']);
  });

  test('that says what could be better, though nothing fails for it', async () => {
    const run = async () => ({ found: 'ready for backups only', warning: 'Add this line: …' });
    expect(await linesOf([{ name: 'node a/cp1', run }])).toEqual([
      '! node a/cp1: ready for backups only. Add this line: …',
    ]);
  });

  test('that says what is wrong and what to do', async () => {
    const run = () => Promise.reject(new KeyturnError('ssh.auth', 'cp1 refused the key.', { hint: 'Add it there.' }));
    expect(await linesOf([{ name: 'node a/cp1', run }])).toEqual(['✗ node a/cp1: cp1 refused the key. Add it there.']);
  });

  test('also when it never answers', async () => {
    const run = () => new Promise<string>(() => {});
    expect(await linesOf([{ name: 'redis', run }], 10_000)).toEqual([
      '✗ redis: No answer within 10 s. Look at address, port and firewall between Keyturn and it.',
    ]);
  });

  test('and an unknown error shows none of its text', async () => {
    const run = () => Promise.reject(new Error('password=planted'));
    expect((await linesOf([{ name: 'redis', run }]))[0]).toBe(
      '✗ redis: Internal error. Look for "redis" in Keyturn\'s log.',
    );
  });
});
