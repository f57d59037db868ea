/** Owns where a restore puts things on a node: old data, restored data, the snapshot, manifests that are set aside. */
import { KeyturnError } from '../error.ts';
import type { DirectoryFacts, NodeFacts } from './facts.ts';

/**
 * A directory that is swapped. 'rename': the directory itself, its siblings are on the same filesystem. 'content': what
 * is in it, since a mount point can't be renamed; `old` and `fresh` then lie inside it.
 */
export interface DataPart {
  readonly how: 'rename' | 'content';
  readonly live: string;
  readonly old: string;
  /** Restored data before the swap; data that were taken out again after an undo. */
  readonly fresh: string;
  /** A filesystem of its own inside `live`, which is not moved with the rest; '' when there is none. */
  readonly stays: string;
  readonly owner: { readonly uid: number; readonly gid: number };
}

export interface NodeLayout {
  readonly data: DataPart;
  /** Undefined when the write-ahead log moves along with the data directory. */
  readonly wal: DataPart | undefined;
  /** The write-ahead log's place below the data directory, where flags put it there; undefined: etcd's default. */
  readonly walBelowData: string | undefined;
  readonly snapshot: string;
  /** Where a tool is copied to that comes out of a container. */
  readonly tool: string;
  /** Beside the folder of manifests, so that moving there is a rename. */
  readonly manifestsAside: string;
}

/** Throws plan.unsupported when the node's directories can't be swapped safely. */
export function layoutOf(facts: NodeFacts, request: string): NodeLayout {
  const { dataDir, walDir, etcd } = facts;
  for (const directory of [dataDir, ...(walDir === undefined ? [] : [walDir])]) refuseRelative(facts, directory);
  const walMounted = walDir?.isMountPoint === true && parentOf(walDir.path) === dataDir.path;
  refuseMounts(facts, dataDir, walMounted ? [walDir.path] : []);
  if (walDir !== undefined) refuseMounts(facts, walDir, []);
  const below = walDir === undefined ? belowData(facts) : undefined;
  if (etcd.walDir !== undefined && walDir === undefined && below === undefined) {
    throw unsupported(facts, `its write-ahead log in ${etcd.walDir} was not looked at.`, 'Report this as a bug.');
  }
  const data = part(dataDir, dataDir.isMountPoint || walMounted, request, walMounted ? walDir.path : '');
  const base = data.old;
  return {
    data,
    wal: walDir === undefined ? undefined : part(walDir, walDir.isMountPoint, request, ''),
    walBelowData: below,
    snapshot: `${base}.db`,
    tool: `${base}.tool`,
    manifestsAside: `${parentOf(manifestFolder(facts) ?? '/etc/kubernetes/manifests')}/keyturn-${request}`,
  };
}

/** The folder that holds the node's manifests of etcd or kube-apiserver; undefined when neither is a static pod. */
export function manifestFolder({ etcd, apiServer }: NodeFacts): string | undefined {
  const supervisor = [apiServer?.supervisor, etcd.supervisor].find((s) => s?.kind === 'static-pod');
  return supervisor?.kind === 'static-pod' ? parentOf(supervisor.manifest) : undefined;
}

export function oldDataOf({ data, wal }: NodeLayout): readonly string[] {
  return [data.old, ...(wal === undefined ? [] : [wal.old])];
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0)) || '/';
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function part({ path, uid, gid }: DirectoryFacts, inside: boolean, request: string, stays: string): DataPart {
  const old = inside ? `${path}/keyturn-${request}` : `${path}.keyturn-${request}`;
  return { how: inside ? 'content' : 'rename', live: path, old, fresh: `${old}.new`, stays, owner: { uid, gid } };
}

function belowData({ etcd }: NodeFacts): string | undefined {
  const prefix = `${etcd.dataDir.replace(/\/+$/, '')}/`;
  return etcd.walDir?.startsWith(prefix) === true ? etcd.walDir.slice(prefix.length) : undefined;
}

/** A directory renamed with a mount inside takes the mount along, until the next boot mounts it over the new data. */
function refuseMounts(facts: NodeFacts, { path, mountsInside }: DirectoryFacts, allowed: readonly string[]): void {
  const inside = mountsInside.find((mount) => !allowed.includes(mount));
  if (inside === undefined) return;
  throw unsupported(
    facts,
    `the filesystem ${inside} is mounted inside ${path}.`,
    `Mount it elsewhere and name it with --wal-dir, or restore ${facts.node} by hand.`,
  );
}

function refuseRelative(facts: NodeFacts, { path }: DirectoryFacts): void {
  if (/^\/.*[^/]$/s.test(path)) return;
  throw unsupported(facts, `its directory "${path}" is not absolute.`, 'Give etcd an absolute --data-dir.');
}

function unsupported({ node }: NodeFacts, why: string, hint: string): KeyturnError {
  return new KeyturnError('plan.unsupported', `etcd on ${node} can't be restored: ${why}`, { hint });
}
