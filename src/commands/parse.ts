/** Owns the words people type after the slash command, and what is said when they mistype one. */
import { KeyturnError } from '../domain/error.ts';
import type { HoldGrammar, TypedHold, WantedSnapshot } from './hold-words.ts';
import { parseHoldWords, parseSnapshotWords } from './hold-words.ts';
import { nearest } from './nearest.ts';

/** How each kind of argument is written, and how many words it is at most. */
const ARGUMENTS = {
  none: { written: '', words: 0 },
  cluster: { written: ' <cluster>', words: 1 },
  'cluster?': { written: ' [cluster]', words: 1 },
  'cluster snapshot?': { written: ' <cluster> [snapshot]', words: 2 },
  'cluster filters?': { written: ' <cluster> [filters | snapshot]', words: 13 },
  'snapshot hold': { written: ' [cluster] <snapshot> [for 30d | until 2026-12-31] <reason>', words: Infinity },
  snapshot: { written: ' [cluster] <snapshot>', words: 2 },
  request: { written: ' <request>', words: 1 },
} as const;

/** What can be typed: help, completion and parsing all read this table. */
export interface CommandWord {
  readonly action: Request['action'];
  readonly argument: keyof typeof ARGUMENTS;
  readonly summary: string;
}

export const COMMAND_WORDS: readonly CommandWord[] = [
  { action: 'clusters', argument: 'none', summary: 'every cluster: last good backup, next run' },
  { action: 'status', argument: 'cluster?', summary: 'live: members, leader, database, alarms, last backups' },
  { action: 'backup', argument: 'cluster', summary: 'a backup now; its message is edited as it goes' },
  { action: 'snapshots', argument: 'cluster filters?', summary: 'what is stored where, or all of one snapshot' },
  { action: 'verify', argument: 'snapshot', summary: 'reads every copy of a snapshot again, to its end' },
  { action: 'retention', argument: 'cluster', summary: 'what is kept, what goes next, and why' },
  { action: 'hold', argument: 'snapshot hold', summary: 'keeps a snapshot, whatever retention would do' },
  { action: 'release', argument: 'snapshot', summary: 'lets go of a snapshot that is held' },
  { action: 'restore', argument: 'cluster', summary: 'asks for a restore; it starts once enough others approved it' },
  { action: 'approvals', argument: 'none', summary: 'restores that wait or run, and what you can do with them' },
  { action: 'runbook', argument: 'cluster snapshot?', summary: 'how a restore would go, command by command' },
  { action: 'audit', argument: 'request', summary: 'what a restore ran where, and what came of it' },
  { action: 'cleanup', argument: 'request', summary: 'removes the old data that a restore left on the nodes' },
  { action: 'enrol', argument: 'none', summary: 'one-time codes for your approvals' },
  { action: 'help', argument: 'none', summary: 'this list, and what you may do' },
];

export type Request =
  | { readonly action: 'help' | 'clusters' | 'approvals' | 'enrol' }
  | { readonly action: 'status'; readonly cluster: string | undefined }
  /** `snapshot`: as typed; there may be none of that name. */
  | ({ readonly action: 'verify' } & WantedSnapshot)
  | ({ readonly action: 'release' } & WantedSnapshot)
  | { readonly action: 'backup' | 'retention' | 'restore'; readonly cluster: string }
  /** `words`: filters, or the name of one snapshot; as typed. */
  | { readonly action: 'snapshots'; readonly cluster: string; readonly words: readonly string[] }
  | ({ readonly action: 'hold' } & TypedHold)
  /** `snapshot`: as typed; undefined: the newest. */
  | { readonly action: 'runbook'; readonly cluster: string; readonly snapshot: string | undefined }
  /** `request`: as typed, in lower case; there may be no such restore. */
  | { readonly action: 'audit' | 'cleanup'; readonly request: string };

export interface Vocabulary {
  /** The slash command itself, e.g. `/etcd`. */
  readonly command: string;
  readonly clusters: readonly string[];
}

/** `/etcd status [cluster]`. */
export function usage(word: CommandWord, command: string): string {
  return `${command} ${word.action}${ARGUMENTS[word.argument].written}`;
}

/**
 * What the text after the slash command asks for; nothing typed asks for help. Clusters are known ones.
 * Throws command.unknown, command.invalid and cluster.unknown, each with the nearest right thing to type.
 */
export function parseCommand(text: string, vocabulary: Vocabulary): Request {
  const [verb, ...args] = words(text);
  if (verb === undefined) return { action: 'help' };
  const word = COMMAND_WORDS.find((w) => w.action === verb.toLowerCase());
  if (word === undefined) throw unknownVerb(verb, args, vocabulary);
  const allowed = ARGUMENTS[word.argument].words;
  if (args.length > allowed) throw tooMuch(word, args.slice(allowed), vocabulary);
  const [name, snapshot] = args;
  switch (word.action) {
    case 'help':
    case 'clusters':
    case 'approvals':
    case 'enrol':
      return { action: word.action };
    case 'status':
      return { action: 'status', cluster: name === undefined ? undefined : knownCluster(name, word, vocabulary) };
    case 'snapshots':
      return { action: 'snapshots', cluster: namedCluster(name, word, vocabulary), words: args.slice(1) };
    case 'hold':
      return { action: 'hold', ...parseHoldWords(args, holdGrammar(word, vocabulary)) };
    case 'release':
    case 'verify':
      return { action: word.action, ...parseSnapshotWords(args, holdGrammar(word, vocabulary)).wanted };
    case 'backup':
    case 'retention':
    case 'restore':
      return { action: word.action, cluster: namedCluster(name, word, vocabulary) };
    case 'runbook':
      return { action: 'runbook', cluster: namedCluster(name, word, vocabulary), snapshot };
    case 'audit':
    case 'cleanup':
      return { action: word.action, request: requestId(name, word, vocabulary) };
  }
}

/** People paste names out of messages: quotes and code marks around a word are not part of it. */
function words(text: string): string[] {
  return text
    .split(/\s+/u)
    .map((word) => word.replace(/^[`'"“”‘’<]+|[`'"“”‘’>]+$/gu, ''))
    .filter((word) => word !== '');
}

function holdGrammar(word: CommandWord, vocabulary: Vocabulary): HoldGrammar {
  return {
    ...vocabulary,
    word: word.action,
    usage: usage(word, vocabulary.command),
    knownCluster: (name) => knownCluster(name, word, vocabulary),
  };
}

function namedCluster(name: string | undefined, word: CommandWord, vocabulary: Vocabulary): string {
  if (name === undefined) throw noCluster(word, vocabulary);
  return knownCluster(name, word, vocabulary);
}

/** Only Redis knows which restores there are; what can't be an id is told at once. */
function requestId(name: string | undefined, word: CommandWord, { command, clusters }: Vocabulary): string {
  const id = name?.toLowerCase();
  if (id !== undefined && !clusters.some((cluster) => cluster.toLowerCase() === id)) return id;
  const what = id === undefined ? `"${word.action}" needs the id of a restore.` : `"${name}" is a cluster, no restore.`;
  throw new KeyturnError('command.invalid', what, {
    hint: `Type: ${usage(word, command)}. A restore's message shows its id, such as r20261121-130501-3fa9c1.`,
  });
}

function knownCluster(name: string, word: CommandWord, { clusters, command }: Vocabulary): string {
  const found = clusters.find((c) => c === name) ?? clusters.find((c) => c.toLowerCase() === name.toLowerCase());
  if (found !== undefined) return found;
  const near = nearest(name, clusters);
  throw new KeyturnError('cluster.unknown', `There is no cluster "${short(name)}".`, {
    hint:
      near === undefined
        ? `Use one of: ${some(clusters)}.`
        : `Did you mean "${near}"? Then type: ${command} ${word.action} ${near}`,
  });
}

function unknownVerb(verb: string, args: readonly string[], { command, clusters }: Vocabulary): KeyturnError {
  const verbs = COMMAND_WORDS.map((w) => w.action);
  const near = nearest(verb, verbs);
  const cluster = clusters.find((c) => c === verb);
  const rest = args.length > 0 ? ` ${short(args.join(' '))}` : '';
  let hint = `Type one of: ${verbs.map((v) => `${command} ${v}`).join(', ')}.`;
  if (near !== undefined) hint = `Did you mean: ${command} ${near}${rest}`;
  else if (cluster !== undefined) hint = `The command comes first: ${command} status ${cluster}`;
  return new KeyturnError('command.unknown', `There is no command "${short(verb)}".`, { hint });
}

function noCluster(word: CommandWord, { command, clusters }: Vocabulary): KeyturnError {
  return new KeyturnError('command.invalid', `"${word.action}" needs the name of a cluster.`, {
    hint: `Type: ${usage(word, command)}. The clusters are: ${some(clusters)}.`,
  });
}

function tooMuch(word: CommandWord, extra: readonly string[], { command }: Vocabulary): KeyturnError {
  return new KeyturnError('command.invalid', `"${short(extra.join(' '))}" is too much for "${word.action}".`, {
    hint: `Type: ${usage(word, command)}`,
  });
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, 8);
  const more = names.length - shown.length;
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function short(typed: string): string {
  return typed.length <= 60 ? typed : `${typed.slice(0, 59).replace(/[\ud800-\udbff]$/, '')}…`;
}
