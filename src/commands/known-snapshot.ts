/** Owns how the snapshot that somebody means is found: by its id, in the cluster they name or in the only one that has it. */
import type { ClusterSpec } from '../domain/cluster.ts';
import { KeyturnError } from '../domain/error.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import type { StoreProblem } from '../ports.ts';
import type { CommandDeps } from './deps.ts';
import { findCluster, inParallel } from './deps.ts';
import type { WantedSnapshot } from './hold-words.ts';
import { lookAtEntries } from './look-at-stores.ts';
import { nearest } from './nearest.ts';

type Deps = Pick<CommandDeps, 'clusters' | 'command' | 'catalogue' | 'clock' | 'log'>;

export interface KnownSnapshot {
  readonly spec: ClusterSpec;
  readonly entry: SnapshotEntry;
  /** Stores that could not be listed: whether they have a copy is not known. */
  readonly problems: readonly StoreProblem[];
}

const CLUSTERS_AT_ONCE = 16;

/** Throws cluster.unknown, snapshot.unknown with what to type instead, command.invalid when several clusters have it. */
export async function knownSnapshot(deps: Deps, { cluster, snapshot }: WantedSnapshot): Promise<KnownSnapshot> {
  const among = cluster === undefined ? deps.clusters : [findCluster(deps, cluster)];
  const looked = await inParallel(among, CLUSTERS_AT_ONCE, async (spec) => ({
    spec,
    ...(await lookAtEntries(deps, spec)),
  }));
  const wanted = snapshot.toLowerCase();
  const found = looked.flatMap(({ spec, entries, problems }) => {
    const entry = entries.find(({ id }) => id === snapshot) ?? entries.find(({ id }) => id.toLowerCase() === wanted);
    return entry === undefined ? [] : [{ spec, entry, problems }];
  });
  const [only, ...others] = found;
  if (only === undefined) throw unknown(deps, snapshot, looked);
  if (others.length > 0) throw ambiguous(snapshot, found);
  return only;
}

function unknown(
  { command }: Deps,
  typed: string,
  looked: readonly Pick<Awaited<ReturnType<typeof lookAtEntries>> & KnownSnapshot, 'spec' | 'entries' | 'problems'>[],
): KeyturnError {
  const [first] = looked;
  const where = first === undefined || looked.length > 1 ? 'in any cluster' : `of ${first.spec.name}`;
  const away = looked.flatMap(({ problems }) => problems).slice(0, 3);
  const near = nearest(
    typed,
    looked.flatMap(({ entries }) => entries.map(({ id }) => id)),
  );
  const hints = [
    near === undefined ? undefined : `Did you mean "${near}"?`,
    away.length === 0 ? undefined : 'A store could not be asked, and may have it: try again in a minute.',
    near === undefined
      ? `See what there is: ${command} snapshots ${looked.length === 1 ? (first?.spec.name ?? '') : '<cluster>'}`
      : undefined,
  ];
  const told = away.map(({ store, message }) => ` ${store}: ${message}`).join('');
  return new KeyturnError('snapshot.unknown', `There is no snapshot "${typed.slice(0, 80)}" ${where}.${told}`, {
    hint: hints.filter((hint) => hint !== undefined).join(' '),
  });
}

function ambiguous(typed: string, found: readonly KnownSnapshot[]): KeyturnError {
  const names = found.slice(0, 8).map(({ spec }) => spec.name);
  return new KeyturnError('command.invalid', `${found.length} clusters have a snapshot "${typed.slice(0, 80)}".`, {
    hint: `Put the cluster before it, one of: ${names.join(', ')}.`,
  });
}
