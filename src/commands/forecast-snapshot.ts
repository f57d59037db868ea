/** Owns what retention will do with one snapshot, as things are and once nothing holds it any more. */
import type { ClusterSpec } from '../domain/cluster.ts';
import type { Forecast } from '../domain/retention-plan.ts';
import type { SnapshotEntry } from '../domain/snapshot-entry.ts';
import { afterNextBackup, withoutHold } from '../retention/forecast.ts';
import type { RetentionLook } from '../retention/look.ts';
import type { CommandDeps } from './deps.ts';
import { nextRun } from './show-clusters.ts';

export interface SnapshotForecast {
  /** One for each store that has a copy. */
  readonly stores: readonly Forecast[];
  /** The same, were it released. */
  readonly released: readonly Forecast[];
}

export type LookAtRetention = (spec: ClusterSpec) => Promise<RetentionLook>;

/** Undefined: another tool's, which retention leaves alone, or it can't be told just now. Never throws. */
export async function forecastSnapshot(
  deps: Pick<CommandDeps, 'calendar' | 'clock' | 'log'>,
  spec: ClusterSpec,
  { id, origin }: SnapshotEntry,
  look: LookAtRetention,
): Promise<SnapshotForecast | undefined> {
  if (origin !== 'keyturn') return undefined;
  try {
    const found = await look(spec);
    const at = nextRun(deps, spec, found.facts.now) ?? found.facts.now;
    const { forecasts } = afterNextBackup(found, at);
    return { stores: forecasts(id), released: afterNextBackup(withoutHold(found, id), at).forecasts(id) };
  } catch (error) {
    deps.log.warn({ err: error, cluster: spec.name }, 'What retention will do could not be told');
    return undefined;
  }
}
