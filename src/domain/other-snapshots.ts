/**
 * Owns what the names of other tools' snapshots tell, where they lie in a cluster's place: those that scripts write
 * (`etcd-snapshot-20261121-060000.db`, any other `*.db`), and those of Gardener's etcdbrctl (`Full-…`, its older folders too).
 */

/** What a name means; undefined: nothing that Keyturn knows. */
export type OtherName =
  /** `takenAt`: ISO time to the second; undefined: the name has none. */
  | { readonly kind: 'snapshot'; readonly takenAt: string | undefined }
  /** Changes since another snapshot: no snapshot by itself. */
  | { readonly kind: 'increment' }
  | undefined;

// etcdbrctl, pkg/snapstore/snapshot.go: kind, first and last revision, Unix time, how it is compressed, whether it is the last.
const ETCDBRCTL = /^(?:v[12]\/)?(?:Backup-\d{1,12}\/)?(Full|Incr)-\d+-\d+-(\d{1,11})(?:\.[a-z0-9]{1,8}){0,2}$/;
const DATED = /^etcd-snapshot-(\d{4})(\d\d)(\d\d)(?:-(\d\d)(\d\d)(\d\d))?\.db$/;
const FILE = /^[^./\\\p{Cc}\p{Cs}][^/\\\p{Cc}\p{Cs}]{0,250}\.db$/u;

/**
 * `name`: what stands behind the cluster's prefix. Times in names are read as UTC, since a name has no zone; one that is no
 * time at all (the 31st of February) counts as none.
 */
export function readOtherName(name: string): OtherName {
  const [, kind, unix] = ETCDBRCTL.exec(name) ?? [];
  if (kind === 'Incr') return { kind: 'increment' };
  if (unix !== undefined) return { kind: 'snapshot', takenAt: toSecond(new Date(Number(unix) * 1000)) };
  const [dated, y, mo, d, h = '00', m = '00', s = '00'] = DATED.exec(name) ?? [];
  if (dated !== undefined) return { kind: 'snapshot', takenAt: timeOf(`${y}-${mo}-${d}T${h}:${m}:${s}.000Z`) };
  return FILE.test(name) ? { kind: 'snapshot', takenAt: undefined } : undefined;
}

/** Without its milliseconds, which no name has. */
export function toSecond(at: Date): string {
  return `${at.toISOString().slice(0, 19)}.000Z`;
}

function timeOf(iso: string): string | undefined {
  const at = new Date(iso);
  return !Number.isNaN(at.getTime()) && at.toISOString() === iso ? iso : undefined;
}

/** The last revision in it, decimal; undefined: the name tells none. */
export function revisionInName(name: string): string | undefined {
  const [, kind, last] = /(?:^|\/)(Full)-\d+-(\d{1,19})-\d{1,11}(?:\.|$)/.exec(name) ?? [];
  return kind === undefined || last === undefined || /^0+$/.test(last) ? undefined : BigInt(last).toString();
}
