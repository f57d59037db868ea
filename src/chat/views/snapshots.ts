/** Owns how the list of stored snapshots looks. Pure. */
import type { SnapshotsReport } from '../../commands/list-snapshots.ts';
import type { StoredSnapshot } from '../../domain/snapshot.ts';
import {
  bold,
  code,
  context,
  duration,
  fit,
  join,
  lines,
  mrk,
  message,
  pager,
  plain,
  plural,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { snapshotSummary, storeNames } from './backup.ts';

export const SNAPSHOTS_PAGER = 'snapshots';

export function snapshotsView(report: SnapshotsReport): MessageView {
  const { snapshots, total, page, pages } = report;
  const title = mrk`📦 ${bold(report.cluster)} · ${total === 0 ? mrk`no snapshots yet` : plural(total, 'snapshot')}`;
  return message(join([title, ...snapshots.map((s) => snapshotSummary(s.record))], '\n'), [
    section(title),
    ...lines(snapshots.map((s) => entry(s, report))),
    ...report.problems
      .slice(0, 6)
      .map((p) =>
        context(
          mrk`⚠️ Store ${code(p.store)} could not be asked, what only it holds is missing here: ${plain(p.message)} ${plain(p.hint)}`,
        ),
      ),
    ...pager(SNAPSHOTS_PAGER, page, pages, { cluster: report.cluster }),
  ]);
}

/** Two lines: what it is and how old; where it is and how to know it. */
function entry({ record, stores }: StoredSnapshot, report: SnapshotsReport): Mrkdwn {
  const age = duration(Date.parse(report.at) - Date.parse(record.takenAt));
  const missing = report.stores.filter((s) => !stores.includes(s) && !report.problems.some((p) => p.store === s));
  return fit(
    join(
      [
        mrk`*${age} ago* · ${snapshotSummary(record)}`,
        join([
          code(record.id),
          mrk`sha256 ${code(record.sha256.slice(0, 12))}`,
          storeNames(mrk`in`, stores),
          storeNames(mrk`⚠️ not in`, missing),
        ]),
      ],
      '\n',
    ),
    1000,
  );
}
