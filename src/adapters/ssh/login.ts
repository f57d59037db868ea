/** Owns one login: TCP or jump host below, host key pinned, one way to authenticate, and what went wrong in words. */
import { readFile } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2 from 'ssh2';
import type { AuthHandlerMiddleware, Client, ConnectConfig } from 'ssh2';
import type { SshLogin } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import { algorithmsFor, isMismatch, noCommonAlgorithm } from './algorithms.ts';
import { hostKeyAlgorithms, isPinned, presentedKey, refusedHostKey } from './host-key.ts';
import type { PresentedKey } from './host-key.ts';

/** A machine to log in to: a node or a jump host. */
export interface Target {
  readonly name: string;
  readonly address: string;
  readonly ssh: SshLogin;
  /** Also offer what OpenSSH gave up. Undefined: nobody can be asked to allow that for this machine. */
  readonly legacyAlgorithms?: boolean;
}

/** Times in milliseconds; after `keepaliveMs` × 3 without an answer a connection counts as lost. */
export interface LoginTimes {
  readonly connectMs: number;
  readonly keepaliveMs: number;
}

/** A login that stands; `closed` resolves when it no longer does. */
export interface Link {
  readonly client: Client;
  readonly sock: Duplex;
  readonly closed: Promise<void>;
}

export type Dial = (signal: AbortSignal) => Promise<Duplex>;

/**
 * Logs in over the connections that `dial` makes: more than one only while a host with several keys has not shown a
 * pinned one yet. Throws ssh.*, or the signal's reason.
 */
export async function logIn(target: Target, dial: Dial, times: LoginTimes, signal: AbortSignal): Promise<Link> {
  const secrets = await readSecrets(target);
  const seen: PresentedKey[] = [];
  for (;;) {
    const sock = await dial(signal);
    const outcome = await handshake(target, sock, secrets, seen, times, signal);
    if (outcome !== 'other-key') return outcome;
    // Pins name one key of the host; it may have shown another one of its own.
    if (target.ssh.hostKeys.length === 0 || hostKeyAlgorithms(seen).length === 0) {
      throw refusedHostKey(describe(target), seen, target.ssh.hostKeys);
    }
  }
}

/** A TCP connection without Nagle's delay: 23 MB took 12.7 s with it, 0.24 s without. */
export function dialTcp(target: Target, times: LoginTimes): Dial {
  const { port } = target.ssh;
  return (signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const socket = connectTcp({ host: target.address, port, noDelay: true });
      const fail = (error: Error): void => {
        stop();
        socket.destroy();
        reject(error);
      };
      const timer = setTimeout(() => {
        fail(unreachable(target, `no answer within ${times.connectMs / 1000} s`));
      }, times.connectMs);
      const onAbort = (): void => fail(signal.reason as Error);
      const onError = (error: NodeJS.ErrnoException): void => fail(unreachable(target, inWords(error), error));
      const stop = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        socket.off('error', onError);
        socket.on('error', () => undefined);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      socket.on('error', onError);
      socket.once('connect', () => {
        stop();
        resolve(socket);
      });
    });
}

export function describe(target: Target): string {
  return `${target.name} (${target.address}:${target.ssh.port})`;
}

export function unreachable(target: Target, why: string, cause?: unknown): KeyturnError {
  return new KeyturnError('ssh.unreachable', `${describe(target)} can't be reached by SSH: ${why}.`, {
    hint: `Check address, port and firewall, and that sshd runs on ${target.name}.`,
    cause,
  });
}

/** Resolves once it is logged in; 'other-key' when the host showed a key that is not pinned. */
function handshake(
  target: Target,
  sock: Duplex,
  secrets: Secrets,
  seen: PresentedKey[],
  times: LoginTimes,
  signal: AbortSignal,
): Promise<Link | 'other-key'> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    const closed = new Promise<void>((done) => client.once('close', done));
    const already = seen.length;
    let accepted: readonly string[] | undefined;

    const settle = (then: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      client.off('ready', onReady).off('error', onError).off('close', onClose);
      client.on('error', () => undefined);
      then();
    };
    const fail = (error: Error): void =>
      settle(() => {
        sock.destroy();
        if (seen.length > already) resolve('other-key');
        else reject(error);
      });
    const onAbort = (): void => fail(signal.reason as Error);
    const onReady = (): void => settle(() => resolve({ client, sock, closed }));
    const onError = (error: Error & { level?: string }): void => {
      // The host has no key but those it showed: the pinned one is not its own.
      if (already > 0 && error.level === 'handshake') fail(refusedHostKey(describe(target), seen, target.ssh.hostKeys));
      else fail(explain(target, error, accepted));
    };
    const onClose = (): void =>
      fail(unreachable(target, 'the other side closed the connection before the login was done'));

    if (signal.aborted) {
      fail(signal.reason as Error);
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    client.once('ready', onReady).on('error', onError).once('close', onClose);
    try {
      client.connect({
        sock,
        username: target.ssh.user,
        ...secrets.config,
        algorithms: algorithmsFor(target, seen),
        readyTimeout: times.connectMs,
        keepaliveInterval: times.keepaliveMs,
        keepaliveCountMax: 3,
        hostVerifier: (key: Buffer) => {
          const presented = presentedKey(key);
          const pinned = isPinned(presented, target.ssh.hostKeys);
          if (!pinned) seen.push(presented);
          return pinned;
        },
        authHandler: inTurn(secrets.methods, (offered) => (accepted = offered)),
      });
      client.on('keyboard-interactive', (_name, _instructions, _language, prompts, answer) => {
        answer(prompts.map(() => secrets.config.password ?? ''));
      });
    } catch (error) {
      fail(authFailed(target, `its key can't be used: ${aboutKey(error as Error)}`, error));
    }
  });
}

type Method = 'publickey' | 'agent' | 'password' | 'keyboard-interactive';

/** Tries each method once, and notes what the host says it would accept. */
function inTurn(methods: readonly Method[], note: (offered: readonly string[]) => void): AuthHandlerMiddleware {
  const left = [...methods];
  // ssh2's types don't know that `false` ends the attempts, its documentation does.
  return (offered: readonly string[] | null) => {
    if (offered !== null) note(offered);
    return left.shift() ?? false;
  };
}

interface Secrets {
  readonly methods: readonly Method[];
  readonly config: Pick<ConnectConfig, 'agent' | 'passphrase' | 'password' | 'privateKey' | 'tryKeyboard'>;
}

async function readSecrets(target: Target): Promise<Secrets> {
  const { auth } = target.ssh;
  switch (auth.kind) {
    case 'agent':
      return { methods: ['agent'], config: { agent: auth.socket } };
    case 'password':
      return {
        methods: ['password', 'keyboard-interactive'],
        config: { password: await readSecret(target, auth.passwordFile), tryKeyboard: true },
      };
    case 'key':
      return {
        methods: ['publickey'],
        config: {
          privateKey: await readFile(auth.keyFile).catch((error: unknown) =>
            throwUnreadable(target, auth.keyFile, error),
          ),
          ...(auth.passphraseFile === undefined ? {} : { passphrase: await readSecret(target, auth.passphraseFile) }),
        },
      };
  }
}

/** The first line of a file: editors and `echo` leave a newline at its end. */
async function readSecret(target: Target, file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => throwUnreadable(target, file, error));
  return text.replace(/\r?\n.*$/s, '');
}

function throwUnreadable(target: Target, file: string, error: unknown): never {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
  throw new KeyturnError('ssh.auth', `The secret for ${describe(target)} can't be read from ${file}: ${code}.`, {
    hint: "Check the path in the configuration, and that Keyturn's user may read it.",
    cause: error,
  });
}

function explain(
  target: Target,
  error: Error & { level?: string },
  accepted: readonly string[] | undefined,
): KeyturnError {
  if (error.level === 'client-authentication') return authRefused(target, accepted, error);
  if (isMismatch(error)) return noCommonAlgorithm(target, describe(target), error);
  if (error.level === 'agent') return authFailed(target, `the agent does not answer: ${error.message}`, error);
  if (/too many authentication failures/i.test(error.message)) return authRefused(target, accepted, error);
  return unreachable(target, inWords(error), error);
}

/** ssh2 tells a wrong passphrase only by what comes out when it is used. */
function aboutKey({ message }: Error): string {
  if (/bad passphrase|unable to authenticate data|bad decrypt/i.test(message)) return 'the passphrase does not fit';
  return message.replace(/^Cannot parse privateKey: /, '').replace(/[?.]+$/, '');
}

/** What was offered, and what has to be done on the other side so that it is accepted. */
const ADVICE: Record<SshLogin['auth']['kind'], (login: SshLogin, host: string) => readonly [string, string]> = {
  key: ({ auth, user }, host) => [
    `the key ${auth.kind === 'key' ? auth.keyFile : ''}`,
    `Add its public key to ~${user}/.ssh/authorized_keys on ${host}, or correct user and keyFile.`,
  ],
  agent: ({ auth, user }, host) => [
    `every key of the agent at ${auth.kind === 'agent' ? auth.socket : ''}`,
    `Load the right key ("ssh-add -l" lists them), or add one of them to ~${user}/.ssh/authorized_keys on ${host}.`,
  ],
  password: ({ auth, user }, host) => [
    `the password in ${auth.kind === 'password' ? auth.passwordFile : ''}`,
    `Check user ${user} and the file, and that sshd on ${host} has "PasswordAuthentication yes".`,
  ],
};

function authRefused(target: Target, accepted: readonly string[] | undefined, cause: unknown): KeyturnError {
  const [what, advice] = ADVICE[target.ssh.auth.kind](target.ssh, target.name);
  const offers = accepted === undefined || accepted.length === 0 ? '' : ` It accepts: ${accepted.join(', ')}.`;
  return new KeyturnError('ssh.auth', `${describe(target)} refused user ${target.ssh.user} with ${what}.${offers}`, {
    hint: advice,
    cause,
  });
}

function authFailed(target: Target, why: string, cause: unknown): KeyturnError {
  return new KeyturnError('ssh.auth', `User ${target.ssh.user} can't log in to ${describe(target)}: ${why}.`, {
    hint: 'Check keyFile, passphraseFile, agent or passwordFile under ssh of this machine in the configuration.',
    cause,
  });
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused (nothing listens on that port)',
  ECONNRESET: 'the connection was reset',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to that network',
  ENOTFOUND: 'its name is not known to DNS',
  EAI_AGAIN: 'DNS did not answer',
  ETIMEDOUT: 'no answer',
};

function inWords(error: NodeJS.ErrnoException): string {
  // OpenSSH 9.8 and newer (PerSourcePenalties), or MaxStartups.
  if (error.message === 'Connection lost before handshake')
    return 'it hung up at once, as sshd does for a while after failed logins, or when too many come at the same time';
  return WORDS[error.code ?? ''] ?? error.message.replace(/\.$/, '');
}
