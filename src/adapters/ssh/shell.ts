/** Owns the login shell on nodes: how a node is reached, and all that runs over one login. */
import type { NodeSpec } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import { sudoersLine } from '../../domain/sudoers.ts';
import type { ExecOptions, ExecResult, NodeConnection, NodeShell, RemoteProcess } from '../../ports.ts';
import { openTunnel, readAll, startCommand } from './channels.ts';
import { describe, dialTcp, logIn } from './login.ts';
import type { Dial, Link, LoginTimes, Target } from './login.ts';
import { quoteArgv } from './quote.ts';
import { isRefusal, isSudoMissing, sudoDenied, sudoMissing, withSudo } from './sudo.ts';

export interface SshShellOptions {
  /** Jump hosts that `SshLogin.via` names. */
  readonly bastions: readonly Target[];
  /** Each of TCP connection and login may take so long; milliseconds, default 15,000. */
  readonly connectTimeoutMs?: number;
  /** Between two questions "are you there?"; lost after three without an answer. Milliseconds, default 5,000. */
  readonly keepaliveMs?: number;
}

/** So long a closing connection may take to say that it is gone. */
const GRACE_MS = 2_000;

export function sshShell(options: SshShellOptions): NodeShell {
  const times: LoginTimes = {
    connectMs: options.connectTimeoutMs ?? 15_000,
    keepaliveMs: options.keepaliveMs ?? 5_000,
  };
  return {
    async connect(node, signal = new AbortController().signal) {
      signal.throwIfAborted();
      const links: Link[] = [];
      try {
        for (const [i, target] of wayTo(node, options.bastions).entries()) {
          const below = links.at(-1);
          const dial = below === undefined ? dialTcp(target, times) : dialThrough(below, target, i);
          links.push(await logIn(target, dial, times, signal));
        }
      } catch (error) {
        for (const link of links.reverse()) link.sock.destroy();
        throw error;
      }
      return connection(node, links);
    },
  };

  function dialThrough(below: Link, target: Target, depth: number): Dial {
    const from = wayTo(target, options.bastions)[depth - 1]?.name ?? target.name;
    const gone = new AbortController();
    void below.closed.then(() => gone.abort(lost(from, undefined)));
    return (signal) =>
      openTunnel(below.client, from, { host: target.address, port: target.ssh.port }, { gone: gone.signal, signal });
  }
}

/** The machines to log in to one after the other, `target` last. Throws config.invalid. */
function wayTo(target: Target, bastions: readonly Target[]): readonly Target[] {
  const way: Target[] = [target];
  for (let via = target.ssh.via; via !== undefined; via = way[0]?.ssh.via) {
    const jump = bastions.find((bastion) => bastion.name === via);
    if (jump === undefined || way.includes(jump)) {
      const what = jump === undefined ? 'is not among the jump hosts' : 'leads back to itself';
      throw new KeyturnError('config.invalid', `${target.name} is reached via "${via}", which ${what}.`, {
        hint: 'Name an entry of "bastions" in ssh.via.',
      });
    }
    way.unshift(jump);
  }
  return way;
}

/** What runs over one login; `links` has the login itself last, its jump hosts before. */
function connection(node: NodeSpec, links: readonly Link[]): NodeConnection {
  const { client, sock } = links.at(-1) as Link;
  /** Aborted, with why, when the connection is no more; every stream over it ends then. */
  const lostOrClosed = new AbortController();
  const gone = lostOrClosed.signal;
  client.on('error', (error) => {
    lostOrClosed.abort(lost(describe(node), error));
    sock.destroy();
  });
  // Not by a promise: ssh2 ends all channels right after this event.
  client.once('close', () => lostOrClosed.abort(lost(describe(node), undefined)));
  const running = new Set<RemoteProcess>();

  const spawn = async (argv: readonly string[], options: ExecOptions = {}): Promise<RemoteProcess> => {
    const bySudo = options.asRoot === true && node.become === 'sudo';
    const line = quoteArgv(bySudo ? withSudo(argv) : argv);
    const child = await startCommand(client, { node: node.name, argv }, line, options, gone);
    running.add(child);
    void child.done.catch(() => undefined).then(() => running.delete(child));
    return bySudo ? { ...child, done: notRefused(child.done, argv) } : child;
  };

  const exec = async (argv: readonly string[], options?: ExecOptions): Promise<ExecResult> =>
    readAll(await spawn(argv, options), { node: node.name, argv });

  const notRefused = (done: Promise<ExecResult>, argv: readonly string[]): Promise<ExecResult> => {
    const checked = done.then(async (result) => {
      if (isSudoMissing(result)) throw sudoMissing(node.name, node.ssh.user);
      if (isRefusal(result)) throw sudoDenied(node.name, node.ssh.user, await missingLine(argv));
      return result;
    });
    checked.catch(() => undefined);
    return checked;
  };

  const missingLine = async ([name = '', ...args]: readonly string[]): Promise<string> => {
    const found = await exec(['sh', '-c', 'PATH=$PATH:/usr/sbin:/sbin command -v "$1"', 'sh', name]);
    const path = found.stdout.toString().trim();
    return sudoersLine(node.ssh.user, path === '' ? name : path, args);
  };

  let hungUp: Promise<void> | undefined;
  return {
    node,
    exec,
    spawn,
    tunnel: (host, port, signal) => openTunnel(client, node.name, { host, port }, { gone, signal }),
    close() {
      for (const child of running) child.kill();
      return (hungUp ??= hangUp(links));
    },
  };
}

/** Ends every login, the innermost first; one that does not answer is cut. */
async function hangUp(links: readonly Link[]): Promise<void> {
  for (const { client, sock, closed } of [...links].reverse()) {
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => (timer = setTimeout(resolve, GRACE_MS)));
    client.end();
    await Promise.race([closed, grace]);
    clearTimeout(timer);
    sock.destroy();
  }
}

function lost(who: string, cause: Error | undefined): KeyturnError {
  const why = cause === undefined ? 'the other side closed it' : cause.message.replace(/\.$/, '').toLowerCase();
  return new KeyturnError('ssh.lost', `The SSH connection to ${who} broke: ${why}.`, {
    hint: 'Look at the network between Keyturn and the node, and at the log of sshd.',
    cause,
  });
}
