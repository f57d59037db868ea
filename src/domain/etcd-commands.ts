/** Owns how etcd is spoken to and read on a node: its flags, its environment, etcdctl's arguments and what they print. */
import { createHash } from 'node:crypto';
import type { EtcdOnNode, Supervisor } from './cluster.ts';

// ── What etcd was started with ───────────────────────────────────────────────────────────────────────────────────────

/** etcd's flags by their long name, without dashes: `data-dir` → `/var/lib/etcd`. */
export type EtcdFlags = ReadonlyMap<string, string>;

/** etcd's own default (server/storage/backend: DefaultQuotaBytes). */
const DEFAULT_QUOTA = 2 * 1024 ** 3;
const DEFAULT_CLIENT_URL = 'http://localhost:2379';

/** A list that is joined or ended by NUL, as /proc/<pid>/cmdline and /proc/<pid>/environ are. */
export function splitNul(bytes: Uint8Array): readonly string[] {
  const text = new TextDecoder().decode(bytes);
  return text === '' ? [] : text.replace(/\0$/, '').split('\0');
}

/** Whether this argv is an etcd server, not `etcd gateway` or `etcd grpc-proxy`. */
export function isEtcdServer(argv: readonly string[]): boolean {
  return /(^|\/)etcd$/.test(argv[0] ?? '') && !['gateway', 'grpc-proxy'].includes(argv[1] ?? '');
}

/**
 * Flags as etcd understands them: `--config-file` replaces all others, else the command line wins over `ETCD_…` in the
 * environment. `configFile` is its content, parsed.
 */
export function etcdFlags(
  argv: readonly string[],
  environment: readonly string[],
  configFile?: Readonly<Record<string, unknown>>,
): EtcdFlags {
  if (configFile !== undefined) return fromConfigFile(configFile);
  return new Map([...fromEnvironment(environment), ...fromArgv(argv)]);
}

/** Where `--config-file` or ETCD_CONFIG_FILE points to. */
export function configFileOf(argv: readonly string[], environment: readonly string[]): string | undefined {
  return etcdFlags(argv, environment).get('config-file');
}

/** `--flag=value`, `--flag value`, `-flag …`, and flags that stand alone. */
function fromArgv(argv: readonly string[]): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  for (let i = 1; i < argv.length; i += 1) {
    const match = /^--?([a-z0-9][a-z0-9-]*)(?:=(.*))?$/s.exec(argv[i] ?? '');
    if (match?.[1] === undefined) continue;
    const next = argv[i + 1];
    if (match[2] !== undefined) flags.set(match[1], match[2]);
    else if (next === undefined || next.startsWith('-')) flags.set(match[1], 'true');
    else {
      flags.set(match[1], next);
      i += 1;
    }
  }
  return flags;
}

function fromEnvironment(environment: readonly string[]): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  for (const entry of environment) {
    const match = /^ETCD_([A-Z0-9_]+)=(.*)$/s.exec(entry);
    if (match?.[1] !== undefined && match[2] !== undefined) {
      flags.set(match[1].toLowerCase().replaceAll('_', '-'), match[2]);
    }
  }
  return flags;
}

/** The file spells TLS in a section of its own (etcd.conf.yml.sample). */
function fromConfigFile(file: Readonly<Record<string, unknown>>): ReadonlyMap<string, string> {
  const tls = file['client-transport-security'];
  const flat = { ...(typeof tls === 'object' ? tls : {}), ...file };
  const scalar = (value: unknown): value is string | number | boolean | bigint =>
    ['string', 'number', 'boolean', 'bigint'].includes(typeof value);
  return new Map(
    Object.entries(flat).flatMap(([name, value]): [string, string][] => (scalar(value) ? [[name, String(value)]] : [])),
  );
}

/** A file of `KEY=value` lines as systemd's EnvironmentFile reads it, as `KEY=value` entries. A `\` at its end continues a line. */
export function parseEnvironmentFile(text: string): readonly string[] {
  const lines = text.replace(/\\\r?\n/g, '').split('\n');
  return lines.flatMap((line) => {
    const match = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*?)\s*$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) return [];
    return [`${match[1]}=${match[2].replace(/^(["'])(.*)\1$/, '$2')}`];
  });
}

/** What keeps a process running, by its /proc/<pid>/cgroup. `manifest`: the static pod's, where it is one. */
export function supervisorOf(cgroup: string, manifest: string): Supervisor {
  if (/kubepods|\/(kubelet|crio|cri-containerd|docker)[-./]/.test(cgroup)) return { kind: 'static-pod', manifest };
  const unit = unitOf(cgroup);
  return unit === undefined ? { kind: 'unknown' } : { kind: 'systemd', unit };
}

/** The systemd service that a process runs in, by its /proc/<pid>/cgroup. */
export function unitOf(cgroup: string): string | undefined {
  return /\/([^/\n]+\.service)(?:\/|$)/m.exec(cgroup)?.[1];
}

/** Puts together what is known of etcd on one node. Without a CA file the server's own certificate is what is trusted. */
export function etcdOnNode(
  node: string,
  flags: EtcdFlags,
  process: { readonly pid: number | undefined; readonly supervisor: Supervisor },
): EtcdOnNode {
  const certFile = flags.get('cert-file');
  const keyFile = flags.get('key-file');
  const memberName = flags.get('name') ?? 'default';
  const quota = Number(flags.get('quota-backend-bytes') ?? 0);
  return {
    node,
    ...process,
    memberName,
    dataDir: flags.get('data-dir') ?? `${memberName}.etcd`,
    walDir: flags.get('wal-dir') === '' ? undefined : flags.get('wal-dir'),
    listenClientUrls: urls(flags.get('listen-client-urls') ?? DEFAULT_CLIENT_URL),
    advertiseClientUrls: urls(flags.get('advertise-client-urls') ?? DEFAULT_CLIENT_URL),
    tls:
      certFile === undefined || keyFile === undefined
        ? undefined
        : { caFile: flags.get('trusted-ca-file') ?? certFile, certFile, keyFile },
    quotaBytes: quota > 0 ? quota : DEFAULT_QUOTA,
  };
}

/** etcd asks its clients for a certificate when it knows a CA for them, or is told to. */
export function wantsClientCertificate(flags: EtcdFlags): boolean {
  return flags.has('trusted-ca-file') || flags.get('client-cert-auth') === 'true';
}

function urls(list: string): readonly string[] {
  return list
    .split(',')
    .map((url) => url.trim())
    .filter((url) => url !== '');
}

/** A TCP endpoint as seen from the node itself. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
}

/** Where etcd is reached from its own node: loopback if it listens there, else the first address it listens on. */
export function localEndpoint(listenClientUrls: readonly string[]): Endpoint | undefined {
  const endpoints = listenClientUrls.flatMap((url): Endpoint[] => {
    const match = /^(https?):\/\/(\[[^\]]+\]|[^:/]+):(\d+)\/?$/.exec(url);
    if (match?.[2] === undefined) return [];
    return [{ host: connectable(match[2]), port: Number(match[3]), secure: match[1] === 'https' }];
  });
  return endpoints.find(({ host }) => LOOPBACK.test(host)) ?? endpoints[0];
}

const LOOPBACK = /^(127\.|localhost$|::1$)/;

/** Listening on every address includes loopback. */
function connectable(host: string): string {
  const bare = host.replace(/^\[|\]$/g, '');
  return bare === '0.0.0.0' || bare === '::' ? '127.0.0.1' : bare;
}

/** The host of a URL, without brackets; undefined when it is none. */
export function hostOf(url: string): string | undefined {
  return /^[a-z]+:\/\/(?:\[([^\]]+)\]|([^:/]+))/.exec(url)?.slice(1).find(Boolean);
}

// ── etcdctl ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface EtcdctlAccess {
  readonly endpoint: Endpoint;
  readonly tls: EtcdOnNode['tls'];
}

/** What is asked by etcdctl where no tunnel can be had; the same arguments from 3.4 to 3.6, API 3 is their default. */
export const ETCDCTL = {
  status: ['endpoint', 'status', '--write-out=json'],
  members: ['member', 'list', '--write-out=json'],
  /** `count` is that of all keys whatever the limit; 3.4 has no `--count-only`. */
  count: ['get', '', '--from-key', '--keys-only', '--limit=1', '--write-out=json'],
} as const;

/** No `--command-timeout`: it would end the save of a large DB. */
export function snapshotSave(path: string): readonly string[] {
  return ['snapshot', 'save', path];
}

/** etcdctl's own time limit of 5 s is too short for more than 1 GiB. */
export function endpointHash(revision: bigint, seconds: number): readonly string[] {
  return ['endpoint', 'hashkv', `--rev=${revision}`, `--command-timeout=${seconds}s`, '--write-out=json'];
}

export function etcdctl({ endpoint, tls }: EtcdctlAccess, command: readonly string[]): readonly string[] {
  const { host, port, secure } = endpoint;
  const url = `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const files = tls === undefined ? [] : [`--cacert=${tls.caFile}`, `--cert=${tls.certFile}`, `--key=${tls.keyFile}`];
  return ['etcdctl', `--endpoints=${url}`, ...files, ...command];
}

// ── Restoring ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** `3.5.16`, `v3.5.16`, `3.6.0-rc.1`; undefined when it is no version. */
export function parseVersion(text: string): Version | undefined {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(?![\d.])/.exec(text.trim());
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3]) };
}

export function sameMinor(a: string, b: string): boolean {
  const [left, right] = [parseVersion(a), parseVersion(b)];
  return left !== undefined && left.major === right?.major && left.minor === right.minor;
}

/**
 * `--bump-revision` and `--mark-compacted` came with 3.4.27, 3.5.10 and 3.6.0 (etcd's CHANGELOG-3.4, -3.5, -3.6). What
 * counts is the version of the tool that restores.
 */
export function canBumpRevision(toolVersion: string): boolean {
  const version = parseVersion(toolVersion);
  if (version?.major !== 3) return false;
  if (version.minor === 4) return version.patch >= 27;
  if (version.minor === 5) return version.patch >= 10;
  return version.minor > 5;
}

/** Which programs restore for an etcd of this version, the best first: etcdutl came with 3.5, and 3.6 left it alone. */
export function restoreTools(etcdVersion: string): readonly ('etcdutl' | 'etcdctl')[] {
  const version = parseVersion(etcdVersion);
  if (version?.major !== 3 || version.minor < 4) return [];
  if (version.minor === 4) return ['etcdctl'];
  return version.minor === 5 ? ['etcdutl', 'etcdctl'] : ['etcdutl'];
}

export interface RestoreOptions {
  readonly snapshot: string;
  /** Must not exist, nor `walDir`. */
  readonly dataDir: string;
  readonly walDir: string | undefined;
  readonly memberName: string;
  /** `cp1=https://…:2380,cp2=…`. */
  readonly initialCluster: string;
  readonly token: string;
  readonly peerUrls: readonly string[];
  /** Decimal; how much is added to the snapshot's revision. */
  readonly bumpRevision: string | undefined;
}

/** `tool`: path of etcdctl (3.4, 3.5) or etcdutl (from 3.5); they take the same arguments. */
export function restoreArgv(tool: string, options: RestoreOptions): readonly string[] {
  const { walDir, bumpRevision } = options;
  return [
    tool,
    'snapshot',
    'restore',
    options.snapshot,
    `--data-dir=${options.dataDir}`,
    ...(walDir === undefined ? [] : [`--wal-dir=${walDir}`]),
    `--name=${options.memberName}`,
    `--initial-cluster=${options.initialCluster}`,
    `--initial-cluster-token=${options.token}`,
    `--initial-advertise-peer-urls=${options.peerUrls.join(',')}`,
    ...(bumpRevision === undefined ? [] : [`--bump-revision=${bumpRevision}`, '--mark-compacted']),
  ];
}

/** `cp1=https://10.0.0.11:2380,cp2=…`: a member of several peer URLs is named with each. */
export function initialCluster(
  members: readonly { readonly name: string; readonly peerUrls: readonly string[] }[],
): string {
  return members.flatMap(({ name, peerUrls }) => peerUrls.map((url) => `${name}=${url}`)).join(',');
}

/**
 * The id, as decimal, of a member that a new cluster begins with: the first 8 bytes, big-endian, of sha1 over the peer
 * URLs, sorted, and the token, with nothing in between (etcd: computeMemberID in membership/member.go).
 */
export function predictMemberId(peerUrls: readonly string[], token: string): string {
  const hash = createHash('sha1')
    .update([...peerUrls].sort(byBytes).join(''))
    .update(token)
    .digest();
  return String(hash.readBigUInt64BE(0));
}

/** As Go sorts strings. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

// ── What members say ─────────────────────────────────────────────────────────────────────────────────────────────────

/** One member's answer to Status; ids and counters are uint64. Sizes in bytes. */
export interface StatusAnswer {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: bigint;
  readonly version: string;
  readonly dbSize: number;
  readonly dbSizeInUse: number;
  /** 0 when it knows of no leader. */
  readonly leader: bigint;
  readonly raftIndex: bigint;
  readonly raftTerm: bigint;
  readonly raftAppliedIndex: bigint;
  readonly errors: readonly string[];
  readonly isLearner: boolean;
}

export interface MemberAnswer {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/**
 * Alarms and errors of one member out of what a Status carries: every member reports the alarms of all, as
 * `memberID:8211f1d0 alarm:NOSPACE` with a decimal id; other errors are its own.
 */
export function alarmsOf(member: bigint, errors: readonly string[]): readonly string[] {
  return errors.flatMap((error) => {
    const alarm = /memberID:(\d+)\s+alarm:(\w+)/.exec(error);
    if (alarm?.[1] === undefined || alarm[2] === undefined) return [error];
    return BigInt(alarm[1]) === member ? [alarm[2]] : [];
  });
}

/**
 * A parsed JSON value in which every number is a bigint: ids are uint64, which `JSON.parse` would corrupt. Zero and
 * false fields are left out by etcdctl.
 */
export type Json = null | boolean | bigint | string | readonly Json[] | { readonly [name: string]: Json };

/** `endpoint status`; undefined when the endpoint did not answer (it is missing from the list then). */
export function parseEndpointStatus(json: Json): StatusAnswer | undefined {
  const status = field(at(json, 0), 'Status');
  if (status === null) return undefined;
  const header = field(status, 'header');
  return {
    clusterId: int(header, 'cluster_id'),
    memberId: int(header, 'member_id'),
    revision: int(header, 'revision'),
    version: text(status, 'version'),
    dbSize: Number(int(status, 'dbSize')),
    dbSizeInUse: Number(int(status, 'dbSizeInUse')),
    leader: int(status, 'leader'),
    raftIndex: int(status, 'raftIndex'),
    raftTerm: int(status, 'raftTerm'),
    raftAppliedIndex: int(status, 'raftAppliedIndex'),
    errors: texts(status, 'errors'),
    isLearner: field(status, 'isLearner') === true,
  };
}

/** `member list`; 3.5 spells `clientURLS` where 3.4 spells `clientURLs`. */
export function parseMemberList(json: Json): readonly MemberAnswer[] {
  const members = field(json, 'members');
  return (Array.isArray(members) ? (members as readonly Json[]) : []).map((member) => ({
    id: int(member, 'ID'),
    name: text(member, 'name'),
    peerUrls: texts(member, 'peerURLs'),
    clientUrls: [...texts(member, 'clientURLs'), ...texts(member, 'clientURLS')],
    isLearner: field(member, 'isLearner') === true,
  }));
}

/** `get … --limit=1`: how many keys there are, and the store's revision. */
export function parseCount(json: Json): { readonly keys: bigint; readonly revision: bigint } {
  return { keys: int(json, 'count'), revision: int(field(json, 'header'), 'revision') };
}

/** `endpoint hashkv`; undefined when the endpoint did not answer. */
export function parseEndpointHash(json: Json): number | undefined {
  const answer = field(at(json, 0), 'HashKV');
  return answer === null ? undefined : Number(int(answer, 'hash'));
}

function field(json: Json, name: string): Json {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return null;
  return (json as Readonly<Record<string, Json>>)[name] ?? null;
}

function at(json: Json, index: number): Json {
  return Array.isArray(json) ? ((json as readonly Json[])[index] ?? null) : null;
}

function int(json: Json, name: string): bigint {
  const value = field(json, name);
  return typeof value === 'bigint' ? value : 0n;
}

function text(json: Json, name: string): string {
  const value = field(json, name);
  return typeof value === 'string' ? value : '';
}

function texts(json: Json, name: string): readonly string[] {
  const value = field(json, name);
  if (!Array.isArray(value)) return [];
  return (value as readonly Json[]).filter((item): item is string => typeof item === 'string');
}
