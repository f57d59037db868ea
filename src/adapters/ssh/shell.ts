/** Owns the login shell on nodes: how a node is reached, and all that runs over one login. */
import type { NodeSpec } from '../../domain/cluster.ts';
import { sudoersLine } from '../../domain/sudoers.ts';
import type { ExecOptions, ExecResult, NodeConnection, NodeShell, RemoteProcess } from '../../ports.ts';
import { openTunnel, readAll, startCommand } from './channels.ts';
import { describe } from './login.ts';
import type { Link, LoginTimes, Target } from './login.ts';
import { quoteArgv } from './quote.ts';
import { isRefusal, isSudoMissing, sudoDenied, sudoMissing, withSudo } from './sudo.ts';
import { hangUp, logInOnTheWay, lost } from './way.ts';

export interface SshShellOptions {
  /** Jump hosts that `SshLogin.via` names. */
  readonly bastions: readonly Target[];
  /** Each of TCP connection and login may take so long; milliseconds, default 15,000. */
  readonly connectTimeoutMs?: number;
  /** Between two questions "are you there?"; lost after three without an answer. Milliseconds, default 5,000. */
  readonly keepaliveMs?: number;
}

export function sshShell(options: SshShellOptions): NodeShell {
  const times: LoginTimes = {
    connectMs: options.connectTimeoutMs ?? 15_000,
    keepaliveMs: options.keepaliveMs ?? 5_000,
  };
  return {
    async connect(node, signal = new AbortController().signal) {
      return connection(node, await logInOnTheWay(node, options.bastions, times, signal));
    },
  };
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
