/**
 * Owns the snapshot record (its manifest) and the names of objects in a store.
 * A snapshot without a manifest is not a snapshot: the manifest is written last.
 */
import { isTime } from './iso-time.ts';
import { readOtherName } from './other-snapshots.ts';
import { sealed } from './sealed.ts';

/** Version of the manifest's format; readers refuse what they don't know. */
export const MANIFEST_FORMAT = 2;

/** How the stored object is made of the snapshot: compressed first, then encrypted. */
export interface Encoding {
  /** 'gzip': only what other tools have written. */
  readonly compression: 'none' | 'zstd' | 'gzip';
  readonly encryption: 'none' | 'age';
  /** Whose identity opens it: public age recipients, or `passphrase`; empty without encryption. */
  readonly recipients: readonly string[];
}

export const PLAIN: Encoding = { compression: 'none', encryption: 'none', recipients: [] };

/** The stored object is the snapshot itself. */
export function isPlain({ compression, encryption }: Encoding): boolean {
  return compression === 'none' && encryption === 'none';
}

/** The manifest, as stored in JSON. uint64 values are decimal strings, times are ISO 8601 in UTC, sizes bytes. */
export interface SnapshotRecord {
  /** 1: written before there were encodings; it has no seal either. */
  readonly format: 1 | typeof MANIFEST_FORMAT;
  /** Unique within the cluster, sorts by time: `20261121T060000Z-17`. */
  readonly id: string;
  readonly cluster: string;
  /** uint64 as decimal. */
  readonly clusterId: string;
  readonly member: { readonly id: string; readonly name: string; readonly node: string; readonly isLeader: boolean };
  readonly etcdVersion: string;
  readonly keyturnVersion: string;
  /** Store revision just before and just after the stream, decimal: the snapshot lies in between. `0`: not known. */
  readonly revisionBefore: string;
  readonly revisionAfter: string;
  /** Live keys just before the stream. */
  readonly keys: string;
  /** The stored object. */
  readonly object: { readonly key: string; readonly size: number; readonly sha256: string };
  readonly encoding: Encoding;
  /** The snapshot as etcd gave it, trailer included; equal to `object` without compression and encryption. */
  readonly size: number;
  readonly sha256: string;
  /**
   * How the bytes were had: etcd's stream through SSH, `etcdctl snapshot save` on the node, or 'found': another tool has
   * written them. Of those cluster id, member, version of etcd and keys are not known (`0` and `unknown`).
   */
  readonly source: 'stream' | 'etcdctl' | 'found';
  /** Start of the read; RPO is held against this. */
  readonly takenAt: string;
  readonly durationMs: number;
  readonly operation: string;
  readonly trigger: Trigger;
  /** Names of the checks passed before the manifest was written. */
  readonly checks: readonly ('sha256-trailer' | 'size' | 'bolt-magic' | 'read-back')[];
}

/** Why a backup was taken. */
export type Trigger =
  | { readonly kind: 'schedule'; readonly dueAt: string; readonly caughtUp: boolean }
  /** The cluster has a schedule and was never backed up. */
  | { readonly kind: 'first' }
  | { readonly kind: 'person'; readonly user: string };

/** A snapshot and the stores that hold a copy with a manifest. */
export interface StoredSnapshot {
  readonly record: SnapshotRecord;
  readonly stores: readonly string[];
}

/** `20261121T060000Z-17`: the time to the second, and the fencing token that makes it unique. */
export function snapshotId(takenAt: Date, fencingToken: number): string {
  return `${takenAt.toISOString().replace(/[-:]|\.\d+/g, '')}-${fencingToken}`;
}

export function clusterPrefix(cluster: string): string {
  return `${cluster}/`;
}

/** `prod/20261121T060000Z-17.db`, with `.zst` and `.age` behind it as tools expect them. */
export function objectKey(cluster: string, id: string, { compression, encryption }: Encoding = PLAIN): string {
  const suffix = `${compression === 'zstd' ? '.zst' : ''}${encryption === 'age' ? '.age' : ''}`;
  return `${clusterPrefix(cluster)}${id}.db${suffix}`;
}

/** Every name that this snapshot's object may have: the configuration may have changed since its upload was begun. */
export function possibleObjectKeys(cluster: string, id: string): readonly string[] {
  return (['none', 'zstd'] as const).flatMap((compression) =>
    (['none', 'age'] as const).map((encryption) => objectKey(cluster, id, { compression, encryption, recipients: [] })),
  );
}

export const MANIFEST_SUFFIX = '.manifest.json';
/** Of the manifest for another tool's snapshot: its object has a name of its own, which only the manifest tells. */
export const ADOPTED_SUFFIX = `.adopted${MANIFEST_SUFFIX}`;
/** Beside a manifest: why retention must not remove the snapshot. */
export const HOLD_SUFFIX = '.hold.json';
/** Beside a manifest: what a later look found wrong with this copy. */
export const DAMAGE_SUFFIX = '.damaged.json';

export function manifestKey(cluster: string, id: string): string {
  return `${clusterPrefix(cluster)}${id}${MANIFEST_SUFFIX}`;
}

export function adoptedManifestKey(cluster: string, id: string): string {
  return `${clusterPrefix(cluster)}${id}${ADOPTED_SUFFIX}`;
}

/** What the key of a manifest of this cluster tells; undefined when it is none. */
export function readManifestKey(
  cluster: string,
  key: string,
): { readonly id: string; readonly isAdopted: boolean } | undefined {
  const prefix = clusterPrefix(cluster);
  if (!key.startsWith(prefix) || !key.endsWith(MANIFEST_SUFFIX)) return undefined;
  const isAdopted = key.endsWith(ADOPTED_SUFFIX);
  const id = key.slice(prefix.length, -(isAdopted ? ADOPTED_SUFFIX : MANIFEST_SUFFIX).length);
  return ID.test(id) ? { id, isAdopted } : undefined;
}

export function holdKey(cluster: string, id: string): string {
  return `${clusterPrefix(cluster)}${id}${HOLD_SUFFIX}`;
}

export function damageKey(cluster: string, id: string): string {
  return `${clusterPrefix(cluster)}${id}${DAMAGE_SUFFIX}`;
}

const ID = /^\d{8}T\d{6}Z-\d{1,16}$/;
const OBJECT_SUFFIX = /\.db(\.zst)?(\.age)?$/;

/** Keyturn's own objects of this cluster; whatever else lies beside them is somebody else's. */
export function isOwnObject(cluster: string, key: string): boolean {
  const prefix = clusterPrefix(cluster);
  return key.startsWith(prefix) && /^\d{8}T\d{6}Z-\d+\.db(\.zst)?(\.age)?$/.test(key.slice(prefix.length));
}

/** The manifest that makes this object a snapshot. */
export function manifestKeyOf(objectKey: string): string {
  return objectKey.replace(OBJECT_SUFFIX, MANIFEST_SUFFIX);
}

/** Another tool's: much of its record is not known. */
export function isFound({ source }: Pick<SnapshotRecord, 'source'>): boolean {
  return source === 'found';
}

/** Only verified snapshots count against the RPO: etcd's own hash fitted what was read. */
export function isVerified(record: SnapshotRecord): boolean {
  return record.checks.includes('sha256-trailer');
}

/** A manifest larger than this, in bytes, is none: it is not read. */
export const MAX_MANIFEST_SIZE = 64 * 1024;

/** `problem` says what is wrong in one line, for people. */
export type ParsedManifest =
  { readonly ok: true; readonly record: SnapshotRecord } | { readonly ok: false; readonly problem: string };

/** The manifest's text, as it is stored: sealed, so that a byte that flips anywhere in it is seen. */
export function serialiseManifest(record: SnapshotRecord): string {
  if (record.format !== 1) return sealed(record);
  return `${JSON.stringify(without(record, 'encoding'), null, 2)}\n`;
}

function without(value: object, field: string): object {
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== field));
}

/**
 * The record that `text` holds, or what is wrong with it. Anybody who may write to the store may have written `text`:
 * nothing in it is taken on trust, fields that are unknown are refused, and `object.key` stays within the cluster.
 */
export function parseManifest(text: string): ParsedManifest {
  if (text.length > MAX_MANIFEST_SIZE) return { ok: false, problem: `longer than ${MAX_MANIFEST_SIZE} characters` };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, problem: 'not JSON' };
  }
  const format = isObject(value) ? value['format'] : undefined;
  if (!isObject(value) || (format !== 1 && format !== MANIFEST_FORMAT)) {
    return {
      ok: false,
      problem: `format ${printable(format)}, and this Keyturn reads formats 1 and ${MANIFEST_FORMAT}`,
    };
  }
  const problem = misfit(value, format === 1 ? firstShape : sealedShape, 'manifest');
  if (problem !== undefined) return { ok: false, problem };
  // Every field was just looked at.
  const record = (format === 1 ? { ...value, encoding: PLAIN } : without(value, 'seal')) as unknown as SnapshotRecord;
  if (format !== 1 && serialiseManifest(record) !== text) return { ok: false, problem: 'changed since it was written' };
  return isObjectOf(record)
    ? { ok: true, record }
    : { ok: false, problem: 'manifest.object.key: expected a name within the cluster' };
}

/** Says what was expected when a value is not it. */
type Check = (value: unknown) => string | undefined;
interface Shape {
  readonly [field: string]: Check | Shape;
}

const text = (pattern: RegExp, expected: string): Check => {
  return (value) => (typeof value === 'string' && pattern.test(value) ? undefined : expected);
};
// Names go into messages and paths: one line, no control characters.
const name = text(/^[^\p{Cc}\p{Cs}\u2028\u2029]{1,256}$/u, 'a line of 1 to 256 characters');
const uint64: Check = (value) =>
  typeof value === 'string' && /^(0|[1-9]\d{0,19})$/.test(value) && BigInt(value) < 2n ** 64n
    ? undefined
    : 'an unsigned 64-bit number as a decimal string';
const count: Check = (value) =>
  Number.isSafeInteger(value) && Number(value) >= 0 ? undefined : 'a whole number from 0';
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'true or false');
const sha256 = text(/^[0-9a-f]{64}$/, 'a SHA-256 in small hexadecimal digits');
const time: Check = (value) => (isTime(value) ? undefined : 'a time like 2026-11-21T06:00:00.000Z');
const oneOf = (...values: readonly unknown[]): Check => {
  return (value) => (values.includes(value) ? undefined : `one of ${values.join(', ')}`);
};
const listOf = (check: Check): Check => {
  return (value) =>
    Array.isArray(value) && value.length <= 100 && value.every((entry) => check(entry) === undefined)
      ? undefined
      : `a list, each ${check(undefined) ?? ''}`;
};

const triggerShapes: Readonly<Record<Trigger['kind'], Shape>> = {
  schedule: { kind: oneOf('schedule'), dueAt: time, caughtUp: flag },
  first: { kind: oneOf('first') },
  person: { kind: oneOf('person'), user: name },
};
const trigger: Check = (value) => {
  const kind = isObject(value) ? value['kind'] : undefined;
  if (kind !== 'schedule' && kind !== 'first' && kind !== 'person')
    return 'a trigger of kind schedule, first or person';
  const problem = misfit(value, triggerShapes[kind], kind);
  return problem === undefined ? undefined : `a whole trigger (${problem})`;
};

const firstShape: Readonly<Record<Exclude<keyof SnapshotRecord, 'encoding'>, Check | Shape>> = {
  format: oneOf(1, MANIFEST_FORMAT),
  id: text(ID, 'an id like 20261121T060000Z-17'),
  cluster: text(/^(?!\.)[^/\\\p{Cc}\p{Cs}]{1,200}$/u, "a cluster's name"),
  clusterId: uint64,
  member: { id: uint64, name, node: name, isLeader: flag },
  etcdVersion: name,
  keyturnVersion: name,
  revisionBefore: uint64,
  revisionAfter: uint64,
  keys: uint64,
  object: { key: name, size: count, sha256 },
  size: count,
  sha256,
  source: oneOf('stream', 'etcdctl', 'found'),
  takenAt: time,
  durationMs: count,
  operation: name,
  trigger,
  checks: listOf(oneOf('sha256-trailer', 'size', 'bolt-magic', 'read-back')),
};
const sealedShape = {
  ...firstShape,
  encoding: { compression: oneOf('none', 'zstd', 'gzip'), encryption: oneOf('none', 'age'), recipients: listOf(name) },
  seal: sha256,
};

/** The first difference between a value and its shape; undefined when there is none. */
function misfit(value: unknown, shape: Shape, path: string): string | undefined {
  if (!isObject(value)) return `${path}: expected an object`;
  const unknown = Object.keys(value).find((field) => !Object.hasOwn(shape, field));
  if (unknown !== undefined) return `${path}: unknown field ${printable(unknown)}`;
  for (const [field, expected] of Object.entries(shape)) {
    const at = `${path}.${field}`;
    const found = Object.hasOwn(value, field) ? value[field] : undefined;
    if (typeof expected === 'object') {
      const problem = misfit(found, expected, at);
      if (problem !== undefined) return problem;
      continue;
    }
    const wanted = expected(found);
    if (wanted !== undefined) return `${at}: expected ${wanted}`;
  }
  return undefined;
}

/**
 * A plain name right under the cluster's prefix, or one that another tool gives its snapshots there, and not that of a
 * manifest: a manifest can't claim someone else's bytes.
 */
function isObjectOf({ cluster, object }: SnapshotRecord): boolean {
  const prefix = clusterPrefix(cluster);
  const rest = object.key.startsWith(prefix) ? object.key.slice(prefix.length) : '';
  if (rest.endsWith(MANIFEST_SUFFIX)) return false;
  return /^[^./\\][^/\\]*$/.test(rest) || readOtherName(rest)?.kind === 'snapshot';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Foreign values in our messages: short, one line, quoted. */
function printable(value: unknown): string {
  const shown =
    typeof value === 'string' || typeof value === 'number' ? JSON.stringify(value).slice(0, 40) : typeof value;
  return shown.replace(/[^\x20-\x7e]/g, '?');
}
