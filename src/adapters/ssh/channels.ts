/**
 * Owns what happens on one channel of an SSH connection: a command that runs, or a tunnel. ssh2's channels never call a
 * writer back once they are closed, and their `destroy()` takes no error: every ending is made sure of here.
 */
import { Readable, type Duplex } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import { KeyturnError } from '../../domain/error.ts';
import type { ExecOptions, ExecResult, RemoteProcess } from '../../ports.ts';
import { sendSignal, widenWindow } from './internals.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
/** So long a killed command may take to say that it is gone. */
const GRACE_MS = 2_000;
/** What Keyturn asks for is short; a command that prints more is ended. Bytes. */
const MAX_STDOUT = 16 * 1024 * 1024;
const MAX_STDERR = 64 * 1024;

/** Reasons of a channel that could not be opened (RFC 4254, 5.1). */
const PROHIBITED = 1;
const CONNECT_FAILED = 2;

/** What ends everything on a connection, and what ends one call. */
export interface Endings {
  /** Aborted, with why, when the connection is no more. */
  readonly gone: AbortSignal;
  readonly signal: AbortSignal | undefined;
}

interface Command {
  readonly node: string;
  readonly argv: readonly string[];
}

/**
 * Runs `line` by the login shell. Throws node.command-failed, ssh.lost, or the signal's reason; `done` rejects with the
 * same ones when it does not end by itself.
 */
export async function startCommand(
  client: Client,
  command: Command,
  line: string,
  options: ExecOptions,
  gone: AbortSignal,
): Promise<RemoteProcess> {
  const endings = { gone, signal: options.signal };
  try {
    return await opened(
      endings,
      (callback) => client.exec(line, callback),
      (channel) => {
        widenWindow(channel);
        const child = follow(channel, command, gone, options);
        if (options.input instanceof Readable) feed(channel, options.input);
        else channel.end(options.input);
        return child;
      },
    );
  } catch (error) {
    if (isEnding(endings)) throw error;
    throw new KeyturnError('node.command-failed', `${command.node} opened no channel for a command: ${text(error)}.`, {
      hint: `Look at MaxSessions and ForceCommand in sshd_config of ${command.node}, and at its log.`,
      cause: error,
    });
  }
}

/** A command that ends, or whose connection does, wants no more input; input that breaks ends the command with its error. */
function feed(channel: ClientChannel, input: Readable): void {
  channel.once('close', () => input.destroy());
  input.once('error', (error) => channel.emit('error', error));
  input.pipe(channel);
}

/** A TCP connection made by the SSH server. Throws ssh.forward-refused, ssh.unreachable, or a signal's reason. */
export async function openTunnel(
  client: Client,
  from: string,
  to: { readonly host: string; readonly port: number },
  endings: Endings,
): Promise<Duplex> {
  const { gone } = endings;
  try {
    return await opened(
      endings,
      (callback) => client.forwardOut('127.0.0.1', 0, to.host, to.port, callback),
      (channel) => {
        widenWindow(channel);
        const onGone = (): void => void channel.emit('error', gone.reason);
        gone.addEventListener('abort', onGone, { once: true });
        channel.once('close', () => gone.removeEventListener('abort', onGone));
        // Whoever uses the tunnel listens for itself; nobody listening must not end the process.
        channel.on('error', () => undefined);
        return channel;
      },
    );
  } catch (error) {
    if (isEnding(endings)) throw error;
    throw noTunnel(from, `${to.host}:${to.port}`, error);
  }
}

function isEnding({ gone, signal }: Endings): boolean {
  return gone.aborted || signal?.aborted === true;
}

function noTunnel(from: string, to: string, error: unknown): KeyturnError {
  switch ((error as { reason?: unknown }).reason) {
    case PROHIBITED:
      return new KeyturnError('ssh.forward-refused', `sshd on ${from} does not allow forwarding to ${to}.`, {
        hint: `Allow it: "AllowTcpForwarding local" and, if set, "PermitOpen ${to}" in sshd_config of ${from}.`,
        cause: error,
      });
    case CONNECT_FAILED:
      return new KeyturnError('ssh.unreachable', `${from} can't connect to ${to}: ${text(error)}.`, {
        hint: `Check that something listens on ${to}, as seen from ${from}.`,
        cause: error,
      });
    default:
      return new KeyturnError('ssh.forward-refused', `${from} did not forward to ${to}: ${text(error)}.`, {
        hint: `Look at the log of sshd on ${from}.`,
        cause: error,
      });
  }
}

/** Follows a command to its end, or ends it: by its time limit, by `signal`, by `kill`, or with the connection. */
function follow(
  channel: ClientChannel,
  command: Command,
  gone: AbortSignal,
  { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: ExecOptions,
): RemoteProcess {
  const stderr = collectStderr(channel.stderr);
  let kill = (): void => undefined;

  const done = new Promise<ExecResult>((resolve, reject) => {
    let exit: Pick<ExecResult, 'code' | 'signal'> = { code: undefined, signal: undefined };
    let timers: NodeJS.Timeout[] = [];
    const settle = (then: () => void): void => {
      for (const timer of timers) clearTimeout(timer);
      timers = [];
      signal?.removeEventListener('abort', onAbort);
      gone.removeEventListener('abort', onGone);
      then();
    };
    const finish = (): void =>
      settle(() => {
        if (exit.code === undefined && exit.signal === undefined) reject(noEnd(command));
        else resolve({ ...exit, stdout: Buffer.alloc(0), stderr: stderr() });
      });
    const end = (error: Error): void => {
      endCommand(channel);
      settle(() => reject(error));
    };
    const onAbort = (): void => end(signal?.reason as Error);
    const onGone = (): void => settle(() => reject(gone.reason as Error));

    kill = () => {
      endCommand(channel);
      if (exit.code === undefined && exit.signal === undefined) exit = { code: undefined, signal: 'SIGTERM' };
      timers.push(setTimeout(finish, GRACE_MS));
    };
    channel.on('exit', (code: number | null, name?: string) => {
      exit = { code: code ?? undefined, signal: name };
    });
    channel.once('close', finish);
    channel.on('error', end);
    gone.addEventListener('abort', onGone, { once: true });
    if (gone.aborted) onGone();
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    if (Number.isFinite(timeoutMs)) timers.push(setTimeout(() => end(tookTooLong(command, timeoutMs)), timeoutMs));
  });
  // Whoever looks at the output alone must not be hit by an unhandled rejection.
  done.catch(() => undefined);
  return { stdout: channel, done, kill: () => kill() };
}

/** Reads a command to its end. Throws node.command-failed when it prints too much. */
export async function readAll(child: RemoteProcess, command: Command): Promise<ExecResult> {
  const chunks: Buffer[] = [];
  let room = MAX_STDOUT;
  child.stdout.on('data', (chunk: Buffer) => {
    const hadRoom = room >= 0;
    room -= chunk.length;
    if (room >= 0) chunks.push(chunk);
    else if (hadRoom) child.kill();
  });
  const result = await child.done;
  if (room >= 0) return { ...result, stdout: Buffer.concat(chunks) };
  throw new KeyturnError('node.command-failed', `${named(command)} printed more than ${MAX_STDOUT} bytes.`, {
    hint: `Run it by hand on ${command.node} and look at what it prints.`,
  });
}

/** Ends it on both sides: a signal for the command, and the channel closed, so that whatever it prints ends it. */
function endCommand(channel: ClientChannel): void {
  sendSignal(channel, 'TERM');
  channel.close();
  // What was not read yet is of no interest any more; the channel closes only when it is read.
  channel.resume();
}

function collectStderr(stream: Readable): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    if (size < MAX_STDERR) chunks.push(chunk);
    size += chunk.length;
  });
  stream.on('error', () => undefined);
  return () => Buffer.concat(chunks).toString('utf8', 0, MAX_STDERR);
}

/**
 * Turns ssh2's callback into a promise that also ends with the connection or the caller's signal. `use` runs inside the
 * callback: the whole life of a short command may be in the very bytes that opened its channel.
 */
function opened<T>(
  { gone, signal }: Endings,
  start: (callback: (error: Error | undefined, channel: ClientChannel) => void) => unknown,
  use: (channel: ClientChannel) => T,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = AbortSignal.any(signal === undefined ? [gone] : [gone, signal]);
    const onAbort = (): void => reject(stop.reason as Error);
    if (stop.aborted) {
      onAbort();
      return;
    }
    stop.addEventListener('abort', onAbort, { once: true });
    start((error, channel) => {
      stop.removeEventListener('abort', onAbort);
      if (error !== undefined) reject(error);
      // Nobody waits for it any more.
      else if (stop.aborted) channel.destroy();
      else resolve(use(channel));
    });
  });
}

function noEnd({ node, argv }: Command): KeyturnError {
  return new KeyturnError(
    'ssh.lost',
    `${node} closed the channel of "${argv[0] ?? ''}" without telling how it ended.`,
    {
      hint: `Look at the log of sshd on ${node}.`,
    },
  );
}

function tookTooLong(command: Command, ms: number): KeyturnError {
  return new KeyturnError('node.command-failed', `${named(command)} took longer than ${ms / 1000} s and was ended.`, {
    hint: `Look at the load of ${command.node}, and whether the command waits for something.`,
  });
}

/** Arguments may be long scripts: the program is enough to find it. */
function named({ node, argv }: Command): string {
  return `"${argv[0] ?? ''}" on ${node}`;
}

function text(error: unknown): string {
  return (error as Error).message.replace(/^\(SSH\) Channel open failure: /, '').replace(/\.$/, '');
}
