/** Owns reading small files of a node into memory: as the login where it may, as root only for the rest. */
import { KeyturnError } from '../../domain/error.ts';
import type { NodeConnection } from '../../ports.ts';

/** Prints one line a file: `+` and its content in base64, or nothing when the login may not read it. */
const PRINT_READABLE = `for f; do [ -f "$f" ] && [ -r "$f" ] && printf + && base64 < "$f" | tr -d '\\n'; echo; done`;

/** One content a path, undefined where the login may not read it or there is none. */
export async function readAsLogin(
  connection: NodeConnection,
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<readonly (Buffer | undefined)[]> {
  const { stdout } = await connection.exec(['sh', '-c', PRINT_READABLE, 'sh', ...paths], withSignal(signal));
  const lines = stdout.toString('latin1').split('\n');
  return paths.map((_, i) =>
    lines[i]?.startsWith('+') === true ? Buffer.from(lines[i].slice(1), 'base64') : undefined,
  );
}

/** Throws node.command-failed with the file that is missing, node.sudo-denied, ssh.*. */
export async function readFiles(
  connection: NodeConnection,
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<readonly Buffer[]> {
  const found = await readAsLogin(connection, paths, signal);
  return Promise.all(paths.map(async (path, i) => found[i] ?? readAsRoot(connection, path, signal)));
}

/** The whole of what needs root, but for the fall-back by etcdctl: `cat` of one file. See `sudoers.ts`. */
export async function readAsRoot(connection: NodeConnection, path: string, signal?: AbortSignal): Promise<Buffer> {
  const result = await connection.exec(['cat', path], { asRoot: true, ...withSignal(signal) });
  if (result.code === 0) return result.stdout;
  const why =
    result.stderr
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/^cat: /, '') ?? '';
  throw new KeyturnError('node.command-failed', `${connection.node.name} has no readable file ${path}: ${why}.`, {
    hint: `Look at it on ${connection.node.name}; etcd was started with this path.`,
  });
}

function withSignal(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
