/** Owns the way to a machine: one login after the other through its jump hosts, and how all of them end. */
import { KeyturnError } from '../../domain/error.ts';
import { openTunnel } from './channels.ts';
import { dialTcp, logIn } from './login.ts';
import type { Dial, Link, LoginTimes, Target } from './login.ts';

/** So long a closing connection may take to say that it is gone. */
const GRACE_MS = 2_000;

/**
 * Logs in to `target`, by way of the jump hosts that its `via` names among `bastions`; its own login is the last of the
 * answer. Throws ssh.*, config.invalid, or the signal's reason; nothing stays connected then.
 */
export async function logInOnTheWay(
  target: Target,
  bastions: readonly Target[],
  times: LoginTimes,
  signal: AbortSignal,
): Promise<readonly Link[]> {
  signal.throwIfAborted();
  const links: Link[] = [];
  try {
    for (const machine of wayTo(target, bastions)) {
      const below = links.at(-1);
      const dial = below === undefined ? dialTcp(machine, times) : dialThrough(below, machine, machine.ssh.via ?? '');
      links.push(await logIn(machine, dial, times, signal));
    }
    return links;
  } catch (error) {
    for (const link of links.reverse()) link.sock.destroy();
    throw error;
  }
}

function dialThrough(below: Link, target: Target, from: string): Dial {
  const gone = new AbortController();
  void below.closed.then(() => gone.abort(lost(from, undefined)));
  return (signal) =>
    openTunnel(below.client, from, { host: target.address, port: target.ssh.port }, { gone: gone.signal, signal });
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

/** Ends every login, the innermost first; one that does not answer is cut. */
export async function hangUp(links: readonly Link[]): Promise<void> {
  for (const { client, sock, closed } of [...links].reverse()) {
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => (timer = setTimeout(resolve, GRACE_MS)));
    client.end();
    await Promise.race([closed, grace]);
    clearTimeout(timer);
    sock.destroy();
  }
}

export function lost(who: string, cause: Error | undefined): KeyturnError {
  const why = cause === undefined ? 'the other side closed it' : cause.message.replace(/\.$/, '').toLowerCase();
  return new KeyturnError('ssh.lost', `The SSH connection to ${who} broke: ${why}.`, {
    hint: 'Look at the network between Keyturn and the machine, and at the log of sshd.',
    cause,
  });
}
