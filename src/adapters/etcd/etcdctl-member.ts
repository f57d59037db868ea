/**
 * Owns a member of etcd where sshd forwards nothing: etcdctl on the node, as root for the key's sake. A snapshot goes through
 * a FIFO that stands where etcdctl writes its file, so that it takes no disk.
 */
import { randomBytes } from 'node:crypto';
import { parse as parseLossless } from 'lossless-json';
import {
  endpointHash,
  ETCDCTL,
  etcdctl,
  parseCount,
  parseEndpointHash,
  parseEndpointStatus,
  parseMemberList,
  snapshotSave,
} from '../../domain/etcd-commands.ts';
import type { EtcdctlAccess, Json } from '../../domain/etcd-commands.ts';
import { KeyturnError } from '../../domain/error.ts';
import { command as commandLine } from '../../domain/restore/shell.ts';
import type { ExecResult, NodeConnection, NodeSteps, RemoteProcess, SnapshotStream } from '../../ports.ts';
import { at, etcdctlError } from './errors.ts';
import type { Place } from './errors.ts';
import { limited, pipe, stalled } from './flow.ts';
import type { Member, SnapshotOptions } from './member.ts';
import { FIFO_DIGITS, saveLine } from './sudoers.ts';

/** etcdctl's own limit is 5 s. */
const CALL_TIMEOUT_MS = 15_000;

export function etcdctlMember(
  connection: NodeConnection,
  access: EtcdctlAccess,
  place: Place,
  fallbackReason: string,
  askAsRoot: NodeSteps['ask'],
): Member {
  const closed = new AbortController();

  const ask = async <T>(command: readonly string[], read: (json: Json) => T): Promise<T> => {
    const options = { asRoot: true, timeoutMs: CALL_TIMEOUT_MS, signal: closed.signal };
    const result = await connection.exec(etcdctl(access, command), options);
    return parse(result, read);
  };

  const parse = <T>(result: ExecResult, read: (json: Json) => T): T => {
    if (result.code !== 0) throw etcdctlError(result, place, 'etcd.unreachable');
    return read(parseLossless(result.stdout.toString(), undefined, parseNumber) as Json);
  };

  // An endpoint that does not answer is missing from the list, and etcdctl may still exit with 0.
  const answered = <T>(answer: T | undefined): T => {
    if (answer === undefined) throw etcdctlError({ code: 0, stderr: 'no answer' }, place, 'etcd.unreachable');
    return answer;
  };

  /** Only restores ask for a hash, and they may run anything: sudoers would have to allow every revision there is. */
  const hashAt: Member['hashAt'] = async (revision, { timeoutMs, signal }) => {
    const argv = etcdctl(access, endpointHash(revision, Math.ceil(timeoutMs / 1000)));
    const ends = AbortSignal.any([closed.signal, ...(signal === undefined ? [] : [signal])]);
    const result = await askAsRoot(commandLine(argv), { timeoutMs: timeoutMs + CALL_TIMEOUT_MS, signal: ends });
    return parse(result, (json) => answered(parseEndpointHash(json)));
  };

  return {
    status: () => ask(ETCDCTL.status, (json) => answered(parseEndpointStatus(json))),
    hashAt,
    memberList: () => ask(ETCDCTL.members, parseMemberList),
    countKeys: () => ask(ETCDCTL.count, parseCount),
    openSnapshot: (options) => openSnapshot(connection, access, place, fallbackReason, options, closed.signal),
    close: () => closed.abort(closedByUs(place)),
  };
}

/** Ids and counters are uint64; a number that is no integer (`took`) is of no interest. */
function parseNumber(text: string): bigint | string {
  return /^-?\d+$/.test(text) ? BigInt(text) : text;
}

/**
 * Makes the FIFO `$1/x.db.part`, where `etcdctl snapshot save $1/x.db` writes; says so; prints what comes through. The
 * folder goes with the script, whichever way that ends: by its reader, by a signal, or after `$2` seconds.
 */
const READ_FIFO = `
mkdir -m 700 "$1" || exit 71
trap 'kill $reader 2>/dev/null; rm -rf "$1"' EXIT
trap 'exit 143' HUP INT TERM
mkfifo -m 600 "$1/x.db.part" || exit 71
echo ready
timeout "$2" cat "$1/x.db.part" & reader=$!
wait $reader`;
const READY = Buffer.from('ready\n');
/** So long a save may take at most, in seconds; the script ends by then, whatever became of the connection. */
const LONGEST_SAVE = 6 * 3600;

async function openSnapshot(
  connection: NodeConnection,
  access: EtcdctlAccess,
  place: Place,
  fallbackReason: string,
  options: SnapshotOptions,
  closed: AbortSignal,
): Promise<SnapshotStream> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, closed, stop.signal]);
  const running = { timeoutMs: Number.POSITIVE_INFINITY, signal };
  const folder = `/tmp/keyturn-${randomBytes(FIFO_DIGITS / 2).toString('hex')}`;

  const reader = await connection.spawn(['sh', '-c', READ_FIFO, 'sh', folder, String(LONGEST_SAVE)], running);
  const pieces = pipe(reader.stdout);
  await readiness(reader, place, (piece) => pieces.push(piece));
  const save = etcdctl(access, snapshotSave(`${folder}/x.db`));
  const saver = await connection.spawn(save, { ...running, asRoot: true }).catch((error: unknown) => {
    reader.kill();
    throw error;
  });
  saver.stdout.resume();

  const ended = saver.done.then(async (result) => {
    // The reader may never have been met; what was sent whole it reads to the end.
    if (!wasAllSent(result)) throw etcdctlError(result, place, 'etcd.stream-broken');
    await reader.done;
  });
  ended.then(
    () => pieces.end(),
    (error: unknown) => {
      reader.kill();
      pieces.end(withPattern(error, connection, access));
    },
  );
  return {
    source: 'etcdctl',
    fallbackReason,
    chunks: read(),
    close: () => stop.abort(closedByUs(place)),
  };

  async function* read(): AsyncGenerator<Uint8Array> {
    const { stallTimeoutMs, rateLimit } = options;
    const bytes = pieces.read({ signal, stallTimeoutMs, onStall: () => stalled(at(place), stallTimeoutMs) });
    try {
      yield* rateLimit === undefined ? bytes : limited(bytes, rateLimit, signal);
    } finally {
      reader.kill();
      saver.kill();
    }
  }
}

/** Resolves when the FIFO is there; what comes after is the snapshot. */
function readiness(reader: RemoteProcess, place: Place, onData: (piece: Uint8Array) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let greeting: Buffer | undefined = Buffer.alloc(0);
    reader.stdout.on('data', (chunk: Buffer) => {
      if (greeting === undefined) {
        onData(chunk);
        return;
      }
      greeting = Buffer.concat([greeting, chunk]);
      if (greeting.length < READY.length) return;
      const rest = greeting.subarray(READY.length);
      greeting = undefined;
      if (rest.length > 0) onData(rest);
      resolve();
    });
    reader.done.then((result) => reject(etcdctlError(result, place, 'node.command-failed')), reject);
  });
}

/** After the last byte etcdctl syncs its file, which a FIFO can't: by then all was sent, and its size was checked. */
function wasAllSent({ code, stderr }: ExecResult): boolean {
  return code === 0 || /sync .*x\.db\.part: invalid argument/.test(stderr);
}

/** The line that sudo lacks must not name the folder of this one time. */
function withPattern(error: unknown, connection: NodeConnection, access: EtcdctlAccess): Error {
  if (!(error instanceof KeyturnError) || error.code !== 'node.sudo-denied') return error as Error;
  const { name, ssh } = connection.node;
  const line = saveLine(ssh.user, access);
  return new KeyturnError(error.code, error.message, {
    hint: `Allow TCP forwarding in sshd on ${name}, or add this line to /etc/sudoers.d/keyturn there: ${line}`,
    cause: error,
  });
}

function closedByUs(place: Place): KeyturnError {
  return new KeyturnError('etcd.stream-broken', `The session with ${at(place)} was closed.`, { hint: 'Open it anew.' });
}
