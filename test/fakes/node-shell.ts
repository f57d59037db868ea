/** Nodes that live in memory: what their commands print, and whether they can be reached, is set by the test. */
import { Duplex, PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { NodeSpec } from '../../src/domain/cluster.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { ExecOptions, ExecResult, NodeConnection, NodeShell } from '../../src/ports.ts';

/** A stream of input has been read to its end. */
type FakeOptions = Omit<ExecOptions, 'input'> & { readonly input?: string | Uint8Array };

/** What a command does; anything left out is 0 and empty. */
export type FakeCommand = (
  argv: readonly string[],
  options: FakeOptions,
) => { readonly code?: number; readonly stdout?: string | Uint8Array; readonly stderr?: string } | 'hangs' | 'unknown';

export interface FakeNode {
  /** `connect` throws this. */
  readonly refuse?: KeyturnError;
  /** Every command comes here; 'unknown' is answered as a shell does: 127. Default: everything is unknown. */
  readonly run?: FakeCommand;
  /** Answers connections made on the node, or undefined where nothing listens. Without it forwarding is refused. */
  readonly listen?: (host: string, port: number) => Duplex | undefined;
}

export interface FakeNodes extends NodeShell {
  readonly openConnections: number;
  /** Every command run, as `node: argv`. */
  readonly log: readonly string[];
  /** Replaces one node from now on. */
  set(name: string, node: FakeNode): void;
}

export function fakeNodes(initial: Readonly<Record<string, FakeNode>>): FakeNodes {
  const nodes = new Map(Object.entries(initial));
  const log: string[] = [];
  let openConnections = 0;

  return {
    log,
    get openConnections() {
      return openConnections;
    },
    set: (name, node) => void nodes.set(name, node),
    async connect(spec, signal) {
      signal?.throwIfAborted();
      const fake = nodes.get(spec.name);
      if (fake === undefined) throw unreachable(spec);
      if (fake.refuse !== undefined) throw fake.refuse;
      openConnections += 1;
      const closing = new AbortController();
      return connection(spec, fake, log, closing, () => {
        openConnections -= 1;
      });
    },
  };
}

function connection(
  node: NodeSpec,
  fake: FakeNode,
  log: string[],
  closing: AbortController,
  onClose: () => void,
): NodeConnection {
  const spawn: NodeConnection['spawn'] = async (argv, options = {}) => {
    if (closing.signal.aborted) throw lost(node);
    options.signal?.throwIfAborted();
    log.push(`${node.name}: ${argv.join(' ')}`);
    const { input, ...rest } = options;
    const read = input instanceof Readable ? await buffer(input) : input;
    const answer = fake.run?.(argv, read === undefined ? rest : { ...rest, input: read }) ?? 'unknown';
    const killed = new AbortController();
    const done = ending(node, argv, answer, options, closing.signal, killed.signal);
    done.catch(() => undefined);
    const stdout = answer === 'hangs' || answer === 'unknown' ? '' : (answer.stdout ?? '');
    return {
      stdout: Readable.from([Buffer.from(stdout)], { objectMode: false }),
      done,
      kill: () => killed.abort(),
    };
  };

  return {
    node,
    spawn,
    async exec(argv, options) {
      const child = await spawn(argv, options);
      const chunks: Buffer[] = [];
      for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
      return { ...(await child.done), stdout: Buffer.concat(chunks) };
    },
    async tunnel(host, port, signal) {
      if (closing.signal.aborted) throw lost(node);
      signal?.throwIfAborted();
      if (fake.listen === undefined) {
        throw new KeyturnError('ssh.forward-refused', `${node.name} refused to forward to ${host}:${port}.`, {
          hint: 'Allow TCP forwarding for this login.',
        });
      }
      const duplex = fake.listen(host, port);
      if (duplex !== undefined) return duplex;
      throw new KeyturnError('ssh.unreachable', `${node.name} can't connect to ${host}:${port}.`, {
        hint: 'Check that something listens there.',
      });
    },
    async close() {
      if (closing.signal.aborted) return;
      closing.abort();
      onClose();
    },
  };
}

/** How a fake command ends: at once, by its time limit, by a signal, or with the connection. */
function ending(
  node: NodeSpec,
  argv: readonly string[],
  answer: ReturnType<FakeCommand>,
  options: ExecOptions,
  closed: AbortSignal,
  killed: AbortSignal,
): Promise<ExecResult> {
  const empty = Buffer.alloc(0);
  if (answer === 'unknown') {
    const stderr = `${argv[0] ?? ''}: command not found`;
    return Promise.resolve({ code: 127, signal: undefined, stdout: empty, stderr });
  }
  if (answer !== 'hangs') {
    return Promise.resolve({
      code: answer.code ?? 0,
      signal: undefined,
      stdout: empty,
      stderr: answer.stderr ?? '',
    });
  }
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        new KeyturnError('node.command-failed', `${argv[0] ?? ''} on ${node.name} took too long.`, {
          hint: 'Look at the load of the node.',
        }),
      );
    }, options.timeoutMs ?? 30_000);
    const once = { once: true };
    const stop = (then: () => void) => (): void => {
      clearTimeout(timer);
      then();
    };
    closed.addEventListener(
      'abort',
      stop(() => reject(lost(node))),
      once,
    );
    killed.addEventListener(
      'abort',
      stop(() => resolve({ code: undefined, signal: 'SIGTERM', stdout: empty, stderr: '' })),
      once,
    );
    options.signal?.addEventListener(
      'abort',
      stop(() => reject(options.signal?.reason as Error)),
      once,
    );
  });
}

/** Two ends of a connection: what is written to one is read from the other. */
export function connectedPair(): readonly [Duplex, Duplex] {
  const there = new PassThrough();
  const back = new PassThrough();
  const end = (readable: PassThrough, writable: PassThrough): Duplex => Duplex.from({ readable, writable });
  return [end(back, there), end(there, back)];
}

function unreachable(node: NodeSpec): KeyturnError {
  return new KeyturnError('ssh.unreachable', `${node.name} (${node.address}) can't be reached.`, {
    hint: 'Check the address and the firewall.',
  });
}

function lost(node: NodeSpec): KeyturnError {
  return new KeyturnError('ssh.lost', `The connection to ${node.name} broke.`, { hint: 'Try again.' });
}
