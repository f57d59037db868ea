import { describe, expect, test } from 'vitest';
import { leftBehindWords, notBackWords } from '../../src/domain/restore-words.ts';

const trouble = (node: string, message: string) => ({
  node,
  problem: { code: 'ssh.unreachable', message, hint: `Look at ${node}.` } as const,
});

describe('an old cluster that is not seen to serve', () => {
  const silent = trouble('cp1', 'etcd on cp1 does not answer.');

  test('after everything was taken back: a retry looks again', () => {
    expect(notBackWords([silent], [])).toBe(
      'Everything was taken back, but the old cluster was not seen to serve. etcd on cp1 does not answer. Look at cp1. Retry looks again, give-up ends the restore as failed.',
    );
  });

  test('names the nodes that were not taken back, with what is left to do there', () => {
    const left = leftBehindWords(trouble('cp2', 'cp2 is away.'), ['stop-etcd.cp2', 'fetch.cp2']);
    const words = notBackWords([silent], [left]);
    expect(words).not.toContain('Everything');
    expect(words).toContain('cp2 was not taken back: cp2 is away. When it is back, run there the script "Undo" of');
    expect(words).toContain('stop-etcd.cp2, then fetch.cp2.');
    expect(words).toContain('Retry takes back what is left and looks again');
  });
});
