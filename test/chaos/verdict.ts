/** Owns what became of each backup, told from the truth alone: manifests in the store, messages in the workspace. */
import { readdir, readFile } from 'node:fs/promises';
import type { Message } from '../../deploy/local/workspace/state.ts';
import { MANIFEST_SUFFIX, parseManifest, type SnapshotRecord } from '../../src/domain/snapshot.ts';
import type { World } from '../support/bot.ts';

/** One operation, as the world shows it. */
export interface Run {
  readonly operation: string;
  readonly snapshots: readonly SnapshotRecord[];
  /** In the results channel. */
  readonly messages: readonly Message[];
  readonly alarms: readonly Message[];
}

export type End = 'stored' | 'failed' | 'open' | 'untold';

const SIGNS: readonly (readonly [string, End])[] = [
  ['✅', 'stored'],
  ['⚠️', 'stored'],
  ['❌', 'failed'],
];

/** Every operation that left a trace, by its id. */
export async function readRuns({ store, workspace }: World): Promise<Map<string, Run>> {
  const snapshots: SnapshotRecord[] = [];
  for await (const { key } of store.list('')) {
    if (!key.endsWith(MANIFEST_SUFFIX)) continue;
    const parsed = parseManifest(Buffer.from(await store.get(key)).toString());
    if (!parsed.ok) throw new Error(`${key}: ${parsed.problem}`);
    snapshots.push(parsed.record);
  }
  const told = workspace.messages('etcd-backups').filter(isOfApp);
  const alarms = workspace.messages('etcd-alerts').filter(isOfApp);
  const operations = new Set([
    ...snapshots.map((record) => record.operation),
    ...told.map(keyOf),
    ...alarms.map((message) => keyOf(message).replace(/-alert$/, '')),
  ]);
  const run = (operation: string): Run => ({
    operation,
    snapshots: snapshots.filter((record) => record.operation === operation),
    messages: told.filter((message) => keyOf(message) === operation),
    alarms: alarms.filter((message) => keyOf(message) === `${operation}-alert`),
  });
  return new Map([...operations].sort().map((operation) => [operation, run(operation)]));
}

export function endOf({ messages }: Run): End {
  const [message] = messages;
  if (message === undefined) return 'untold';
  return SIGNS.find(([sign]) => message.text.startsWith(sign))?.[1] ?? 'open';
}

/** What must hold of every operation once all is quiet: one line for each breach. */
export function breaches(run: Run): string[] {
  const { operation, snapshots, messages, alarms } = run;
  const end = endOf(run);
  const say = (what: string): string => `${operation}: ${what}`;
  return [
    ...(messages.length === 1 ? [] : [say(`${messages.length} messages`)]),
    ...(snapshots.length <= 1 ? [] : [say(`${snapshots.length} snapshots: ${snapshots.map((s) => s.id).join(', ')}`)]),
    ...(end === 'open' ? [say(`its message stands at "${messages[0]?.text ?? ''}"`)] : []),
    ...(end === 'stored' && snapshots.length === 0 ? [say('told as stored, and there is no snapshot')] : []),
    ...(end === 'failed' && snapshots.length > 0 ? [say('told as failed, and there is a snapshot')] : []),
    ...(alarms.length === (end === 'failed' ? 1 : 0) ? [] : [say(`${alarms.length} alarms, and it ended ${end}`)]),
  ];
}

/** Command lines of processes that still run with a configuration of this world. */
export async function stillRunning({ dir }: World): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(dir)).map((line) => line.replaceAll('\0', ' '));
}

function isOfApp(message: Message): boolean {
  return message.fromApp && message.ephemeralFor === undefined;
}

function keyOf({ metadata, text }: Message): string {
  const payload = metadata?.['event_payload'] as { readonly key?: string } | undefined;
  return payload?.key ?? `no metadata: ${text}`;
}
