import { Readable } from 'node:stream';
import { Duplex } from 'node:stream';
import { describe } from 'vitest';
import { KeyturnError } from '../../../src/domain/error.ts';
import { nodeShellContract } from '../../contracts/node-shell.ts';
import { fakeNodes } from '../../fakes/node-shell.ts';
import type { FakeCommand } from '../../fakes/node-shell.ts';
import { nodeSpec } from '../../support/specs.ts';

const run: FakeCommand = (argv, { input }) => {
  switch (argv[0] ?? '') {
    case 'echo':
      return { stdout: `${argv.slice(1).join(' ')}\n` };
    case 'sh':
      return { code: 3, stderr: 'oops\n' };
    case 'cat':
      return { stdout: input ?? '' };
    case 'sleep':
      return 'hangs';
    default:
      return 'unknown';
  }
};

describe('the fake nodes', () => {
  nodeShellContract(async () => {
    const refuse = new KeyturnError('ssh.unreachable', 'cp2 is away.', { hint: 'Plug it in.' });
    const listen = (_host: string, port: number): Duplex | undefined =>
      port === 22 ? Duplex.from({ readable: Readable.from([Buffer.from('SSH-2.0-fake\r\n')]) }) : undefined;
    return {
      shell: fakeNodes({ cp1: { run, listen }, cp2: { refuse } }),
      node: nodeSpec('cp1'),
      nowhere: nodeSpec('cp2'),
    };
  });
});
