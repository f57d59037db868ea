/** Owns how a problem of the configuration is told, and the problems that only several fields together have. */
import { closest } from 'fastest-levenshtein';
import type { z } from 'zod';
import { groupsAmong } from '../domain/permission.ts';
import { DEFAULT_APPROVALS } from './build.ts';
import { AUTH_KEYS, mergeLogin } from './login.ts';

/** One thing that is wrong: where, what stands there, what was expected. */
export interface ConfigProblem {
  /** `clusters[0].nodes[1].ssh.user`. */
  readonly path: string;
  /** As JSON, shortened; `(hidden)` where a secret might stand, `(missing)` where nothing does. */
  readonly value: string;
  readonly expected: string;
}

type Path = readonly PropertyKey[];

/** One problem, or one for each unknown key, of what zod found. */
export function describeIssue(issue: z.core.$ZodIssue, raw: unknown): ConfigProblem[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => problem([...issue.path, key], raw, unknownKey(key, issue.path)));
  return [problem(issue.path, raw, issue.message)];
}

/** Keys that the file may hold anywhere: enough to guess what a mistyped one was meant to be. */
const KNOWN_KEYS = [
  ...['slack', 'redis', 'stores', 'bastions', 'people', 'defaults', 'clusters', 'worker', 'log'],
  ...['mode', 'command', 'channels', 'oncall', 'botToken', 'appToken', 'signingSecret', 'apiUrl', 'url', 'password'],
  ...['prefix', 'type', 'endpoint', 'region', 'bucket', 'forcePathStyle', 'allowPlainHttp', 'caFile', 'accessKeyId'],
  ...['secretAccessKey', 'path', 'address', 'ssh', 'user', 'port', 'hostKey', 'keyFile', 'passphraseFile', 'agent'],
  ...[
    'passwordFile',
    'via',
    'sudo',
    'request',
    'approve',
    'operate',
    'name',
    'nodes',
    'backup',
    'schedule',
    'timezone',
  ],
  ...['rpo', 'timeout', 'stallTimeout', 'rateLimit', 'attempts', 'concurrency', 'level', 'results', 'alerts'],
  ...['restore', 'approvals', 'expires', 'onFailure', 'kubelet', 'manifests', 'stepUp', 'breakGlass', 'key', 'audit'],
  ...[
    'folder',
    'store',
    'host',
    'container',
    'accountName',
    'accountKey',
    'sasToken',
    'legacyAlgorithms',
    'storageClass',
  ],
  ...[
    'serverSideEncryption',
    'kmsKeyId',
    'retention',
    'last',
    'days',
    'hourly',
    'daily',
    'weekly',
    'monthly',
    'yearly',
  ],
  ...[
    'mostAtOnce',
    'strayGrace',
    'compression',
    'encryption',
    'recipients',
    'identityFiles',
    'scrub',
    'enabled',
    'every',
  ],
];

function unknownKey(key: string, at: Path): string {
  const where = at.length === 0 ? 'the top level' : renderPath(at);
  return `no such key in ${where}; did you mean "${closest(key, KNOWN_KEYS)}"?`;
}

function problem(path: Path, raw: unknown, expected: string): ConfigProblem {
  return { path: renderPath(path), value: renderValue(path, raw), expected };
}

function renderPath(path: Path): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${String(part)}`))
    .join('');
}

const MAY_BE_SECRET = /token|secret|password|passphrase|accesskey|accountkey|\burl$|^key$/i;

function renderValue(path: Path, raw: unknown): string {
  const value = valueAt(raw, path);
  if (value === undefined) return '(missing)';
  if (path.some((part) => MAY_BE_SECRET.test(String(part)))) return '(hidden)';
  // Somebody took the identity for the recipient.
  if (typeof value === 'string' && /^AGE-SECRET-KEY-/i.test(value)) return '(hidden)';
  const json =
    typeof value === 'object' && value !== null
      ? Array.isArray(value)
        ? 'a list'
        : 'a section'
      : JSON.stringify(value);
  return json.length > 80 ? `${json.slice(0, 77)}…` : json;
}

function valueAt(raw: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined | null)?.[part], raw);
}

/** Names that are used but not defined, or defined twice. Works on any input, so that all problems come at once. */
export function referenceProblems(raw: unknown): ConfigProblem[] {
  const stores = Object.keys(record(at(raw, 'stores')));
  const bastions = Object.keys(record(at(raw, 'bastions')));
  const clusters = list(at(raw, 'clusters'));
  const defaults = at(at(raw, 'defaults'), 'ssh');
  const found: ConfigProblem[] = [];
  const storesAt = (path: Path, backup: unknown) =>
    list(at(backup, 'stores')).forEach((store, i) => {
      if (typeof store === 'string' && !stores.includes(store))
        found.push(problem([...path, 'stores', i], raw, oneOf('a store', stores)));
    });
  const viaAt = (path: Path, ssh: unknown) => {
    const via = at(ssh, 'via');
    if (typeof via === 'string' && !bastions.includes(via))
      found.push(problem([...path, 'via'], raw, oneOf('a jump host', bastions)));
  };
  const twiceAt = (path: Path, items: readonly unknown[]) =>
    items.forEach((item, i) => {
      const first = items.findIndex((other) => at(other, 'name') === at(item, 'name'));
      if (first < i && at(item, 'name') !== undefined)
        found.push(
          problem([...path, i, 'name'], raw, `a name of its own; ${renderPath([...path, first])} has it already`),
        );
    });
  storesAt(['defaults', 'backup'], at(at(raw, 'defaults'), 'backup'));
  viaAt(['defaults', 'ssh'], defaults);
  bastions.forEach((bastion) => found.push(...loginProblems(raw, ['bastions', bastion, 'ssh'], [defaults])));
  twiceAt(['clusters'], clusters);
  clusters.forEach((cluster, i) => {
    storesAt(['clusters', i, 'backup'], at(cluster, 'backup'));
    viaAt(['clusters', i, 'ssh'], at(cluster, 'ssh'));
    twiceAt(['clusters', i, 'nodes'], list(at(cluster, 'nodes')));
    list(at(cluster, 'nodes')).forEach((node, j) => {
      viaAt(['clusters', i, 'nodes', j, 'ssh'], at(node, 'ssh'));
      found.push(...loginProblems(raw, ['clusters', i, 'nodes', j, 'ssh'], [defaults, at(cluster, 'ssh')]));
    });
  });
  found.push(...approvalProblems(raw), ...encryptionProblems(raw));
  const copy = at(at(raw, 'audit'), 'store');
  if (typeof copy === 'string' && !stores.includes(copy))
    found.push(problem(['audit', 'store'], raw, oneOf('a store', stores)));
  Object.entries(record(at(raw, 'stores'))).forEach(([key, store]) => found.push(...storeProblems(raw, key, store)));
  if (stores.length === 0 && at(raw, 'stores') !== undefined)
    found.push(problem(['stores'], raw, 'at least one store'));
  return found;
}

/** A node or jump host must come to exactly one way of logging in, counting what it inherits. */
function loginProblems(raw: unknown, path: Path, inherited: readonly unknown[]): ConfigProblem[] {
  const own = path.reduce<unknown>((value, key) => at(value, key as string | number), raw);
  const merged = mergeLogin([...inherited, own].map(record));
  const found: ConfigProblem[] = [];
  if (merged['user'] === undefined)
    found.push(problem([...path, 'user'], raw, 'the login on the node, here or in defaults.ssh'));
  if (AUTH_KEYS.filter((key) => merged[key] !== undefined).length !== 1)
    found.push(problem(path, raw, 'exactly one of keyFile, agent and passwordFile, here or in defaults.ssh'));
  return found;
}

/** What no restore could ever get past, whoever approves. */
function approvalProblems(raw: unknown): ConfigProblem[] {
  const layers: readonly Path[] = [['defaults'], ...list(at(raw, 'clusters')).map((_, i) => ['clusters', i])];
  const most = mostApprovals(at(at(raw, 'people'), 'approve'));
  const found: ConfigProblem[] = [];
  for (const layer of layers) {
    const stepUp = [...layer, 'approvals', 'stepUp'];
    if (valueAt(raw, stepUp) === 'totp' && valueAt(raw, ['stepUp', 'key']) === undefined)
      found.push(problem(stepUp, raw, 'none, or beside it a stepUp.key that seals the secrets of the codes'));
    for (const wanted of [
      ['restore', 'approvals'],
      ['approvals', 'breakGlass', 'approvals'],
    ]) {
      const path = [...layer, ...wanted];
      if (Number(valueAt(raw, path)) > most)
        found.push(problem(path, raw, `at most ${most}: people.approve names no more`));
    }
  }
  const unsaid = list(at(raw, 'clusters')).findIndex((_, i) => approvalsOf(raw, i) === undefined);
  if (unsaid >= 0 && DEFAULT_APPROVALS > most) {
    const why = `at least ${DEFAULT_APPROVALS} people, or a group: clusters[${unsaid}] wants so many approvals`;
    found.push(problem(['people', 'approve'], raw, why));
  }
  return found;
}

/** What a cluster or the defaults say. */
function approvalsOf(raw: unknown, cluster: number): unknown {
  return (
    valueAt(raw, ['clusters', cluster, 'restore', 'approvals']) ?? valueAt(raw, ['defaults', 'restore', 'approvals'])
  );
}

/** So many people may approve: without end, where a group is among them or nobody is named (then there are no restores). */
function mostApprovals(approvers: unknown): number {
  const ids = [...new Set(list(approvers).map(String))];
  return ids.length === 0 || groupsAmong(ids).length > 0 ? Infinity : ids.length;
}

function storeProblems(raw: unknown, key: string, store: unknown): ConfigProblem[] {
  const found: ConfigProblem[] = [];
  const endpoint = at(store, 'endpoint');
  if (typeof endpoint === 'string' && endpoint.startsWith('http://') && at(store, 'allowPlainHttp') !== true)
    found.push(problem(['stores', key, 'endpoint'], raw, 'https://…, or allowPlainHttp: true beside it'));
  if ((at(store, 'accessKeyId') === undefined) !== (at(store, 'secretAccessKey') === undefined))
    found.push(
      problem(['stores', key], raw, "accessKeyId and secretAccessKey together, or neither (the SDK's default chain)"),
    );
  if (at(store, 'kmsKeyId') !== undefined && at(store, 'serverSideEncryption') !== 'aws:kms')
    found.push(problem(['stores', key, 'kmsKeyId'], raw, 'serverSideEncryption: aws:kms beside it'));
  if (at(store, 'type') === 'sftp') found.push(...sftpProblems(raw, key, store));
  if (at(store, 'type') === 'azure-blob') found.push(...azureProblems(raw, key, store));
  return found;
}

function sftpProblems(raw: unknown, key: string, store: unknown): ConfigProblem[] {
  const path = ['stores', key];
  const found: ConfigProblem[] = [];
  if (at(store, 'user') === undefined) found.push(problem([...path, 'user'], raw, 'the login on the server'));
  if (at(store, 'hostKey') === undefined)
    found.push(problem([...path, 'hostKey'], raw, "the server's fingerprint, SHA256:…, as ssh-keygen -l prints it"));
  if (AUTH_KEYS.filter((one) => at(store, one) !== undefined).length !== 1)
    found.push(problem(path, raw, 'exactly one of keyFile, agent and passwordFile'));
  const via = at(store, 'via');
  const bastions = Object.keys(record(at(raw, 'bastions')));
  if (typeof via === 'string' && !bastions.includes(via))
    found.push(problem([...path, 'via'], raw, oneOf('a jump host', bastions)));
  return found;
}

function azureProblems(raw: unknown, key: string, store: unknown): ConfigProblem[] {
  const [name, secret, sas] = ['accountName', 'accountKey', 'sasToken'].map((field) => at(store, field) !== undefined);
  const found: ConfigProblem[] = [];
  const fits = sas === true ? secret !== true : name === secret;
  if (!fits)
    found.push(
      problem(
        ['stores', key],
        raw,
        "accountName and accountKey together, or sasToken, or none of them (the environment's own identity)",
      ),
    );
  const endpoint = String(at(store, 'endpoint'));
  // Only emulators have the account in the path.
  if (/^https?:\/\/[^/]+\.blob\.[^/]+\/[^/]/.test(endpoint))
    found.push(
      problem(['stores', key, 'endpoint'], raw, 'the URL of the account alone; the container stands beside it'),
    );
  if (endpoint.startsWith('http://') && secret !== true && sas !== true)
    found.push(problem(['stores', key, 'endpoint'], raw, 'https://…: tokens of an identity never go over plain http'));
  return found;
}

/** age allows a passphrase only by itself. */
function encryptionProblems(raw: unknown): ConfigProblem[] {
  const encryption = at(raw, 'encryption');
  const both = at(encryption, 'passphraseFile') !== undefined && list(at(encryption, 'recipients')).length > 0;
  return both ? [problem(['encryption'], raw, 'either recipients or passphraseFile, not both')] : [];
}

function oneOf(what: string, names: readonly string[]): string {
  return names.length === 0 ? `${what} that is defined; none is` : `${what} that is defined: ${names.join(', ')}`;
}

function at(value: unknown, key: string | number): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string | number, unknown>)[key] : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
