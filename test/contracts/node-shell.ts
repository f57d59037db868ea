/** What every NodeShell has to keep to: the fake and the one on real sshd. */
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NodeSpec } from '../../src/domain/cluster.ts';
import type { NodeConnection, NodeShell } from '../../src/ports.ts';

export interface NodeShellUnderTest {
  readonly shell: NodeShell;
  /** A node with a POSIX shell, and something on 127.0.0.1:22 that says `SSH-2.0-…` first. */
  readonly node: NodeSpec;
  /** The same node under an address at which nothing answers. */
  readonly nowhere: NodeSpec;
}

export function nodeShellContract(setUp: () => Promise<NodeShellUnderTest>): void {
  let under: NodeShellUnderTest;
  let connection: NodeConnection;

  beforeAll(async () => {
    under = await setUp();
    connection = await under.shell.connect(under.node);
  });
  afterAll(() => connection.close());

  test('a command gives its output and 0', async () => {
    const result = await connection.exec(['echo', 'hello']);
    expect({ ...result, stdout: result.stdout.toString() }).toEqual({
      code: 0,
      signal: undefined,
      stdout: 'hello\n',
      stderr: '',
    });
  });

  test('a command that fails is a result, not an error', async () => {
    const result = await connection.exec(['sh', '-c', 'echo oops >&2; exit 3']);
    expect(result).toMatchObject({ code: 3, stderr: 'oops\n' });
  });

  test('a command that is not there is a result with 127', async () => {
    expect(await connection.exec(['no-such-command-here'])).toMatchObject({ code: 127 });
  });

  test('a command reads its input to the end', async () => {
    const result = await connection.exec(['cat'], { input: 'from here' });
    expect(result.stdout.toString()).toBe('from here');
  });

  test('a command reads a stream of input to its end', async () => {
    const pieces = Array.from({ length: 100 }, (_, i) => Buffer.alloc(10_000, `${i % 10}`));
    const input = Readable.from(pieces, { objectMode: false });
    const result = await connection.exec(['cat'], { input });
    expect(result.stdout.equals(Buffer.concat(pieces))).toBe(true);
  });

  test('input that breaks ends the command with its error', async () => {
    const input = Readable.from(
      (async function* () {
        yield Buffer.from('half');
        throw new Error('the source is gone');
      })(),
      { objectMode: false },
    );
    await expect(connection.exec(['cat'], { input })).rejects.toThrow('the source is gone');
  });

  test('a stream ends before its process is done', async () => {
    const child = await connection.spawn(['echo', 'hello']);
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('hello\n');
    expect(await child.done).toMatchObject({ code: 0 });
  });

  test('a command that takes too long is ended and told of', async () => {
    const running = connection.exec(['sleep', '60'], { timeoutMs: 100 });
    await expect(running).rejects.toMatchObject({ code: 'node.command-failed' });
  });

  test("a signal ends a command with the signal's reason", async () => {
    const controller = new AbortController();
    const running = connection.exec(['sleep', '60'], { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 50);
    await expect(running).rejects.toThrow('enough');
  });

  test('a process that is killed is done, without an exit code', async () => {
    const child = await connection.spawn(['sleep', '60']);
    child.kill();
    child.kill();
    expect(await child.done).toMatchObject({ code: undefined, signal: 'SIGTERM' });
  });

  test('a tunnel speaks with what listens on the node', async () => {
    const tunnel = await connection.tunnel('127.0.0.1', 22);
    const [greeting] = (await once(tunnel, 'data')) as [Buffer];
    expect(greeting.toString()).toMatch(/^SSH-2\.0-/);
    tunnel.destroy();
  });

  test('a tunnel to where nothing listens is refused as unreachable', async () => {
    await expect(connection.tunnel('127.0.0.1', 1)).rejects.toMatchObject({ code: 'ssh.unreachable' });
  });

  test('a node that does not answer is unreachable', async () => {
    await expect(under.shell.connect(under.nowhere)).rejects.toMatchObject({ code: 'ssh.unreachable' });
  });

  test('an aborted signal keeps a login from starting', async () => {
    const login = under.shell.connect(under.node, AbortSignal.abort(new Error('not now')));
    await expect(login).rejects.toThrow('not now');
  });

  test('closing ends what runs, may be done twice, and leaves nothing to use', async () => {
    const other = await under.shell.connect(under.node);
    const running = other.exec(['sleep', '60']);
    const ended = running.then(
      ({ code }) => code,
      (error: unknown) => error,
    );
    await other.close();
    await other.close();
    expect(await ended).not.toBe(0);
    await expect(other.exec(['echo', 'hello'])).rejects.toMatchObject({ code: 'ssh.lost' });
    await expect(other.tunnel('127.0.0.1', 22)).rejects.toMatchObject({ code: 'ssh.lost' });
  });
}
