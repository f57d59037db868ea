/** A node's connection that is this very machine: plain processes of the test's own user, no SSH and no sudo. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { ExecOptions, ExecResult, NodeConnection } from '../../src/ports.ts';
import { nodeSpec } from './specs.ts';

/** `onStart` hears the pid of each command. */
export function localConnection(onStart: (pid: number) => void = () => undefined): NodeConnection {
  const never = async (): Promise<never> => {
    throw new Error('not for these tests');
  };
  return {
    node: nodeSpec('here'),
    exec: (argv, options) => exec(argv, options ?? {}, onStart),
    spawn: never,
    tunnel: never,
    close: async () => undefined,
  };
}

async function exec(
  [program = '', ...args]: readonly string[],
  { input = '', timeoutMs = 30_000, signal }: ExecOptions,
  onStart: (pid: number) => void,
): Promise<ExecResult> {
  const ends = { ...(signal && { signal }), ...(Number.isFinite(timeoutMs) && { timeout: timeoutMs }) };
  const child = spawn(program, args, { stdio: 'pipe', ...ends });
  onStart(child.pid ?? 0);
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  closed.catch(() => undefined);
  // A command that ends early reads no more; an input that breaks ends the command, as it does over SSH.
  const fed = pipeline(input instanceof Readable ? input : Readable.from([Buffer.from(input)]), child.stdin).catch(
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'EPIPE') return;
      child.kill();
      throw error;
    },
  );
  fed.catch(() => undefined);
  const [stdout, stderr, [code, killed]] = await Promise.all([buffer(child.stdout), text(child.stderr), closed]);
  await fed;
  return { code: code ?? undefined, signal: killed ?? undefined, stdout, stderr };
}
