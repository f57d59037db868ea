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
  pageOf,
  pager,
  plain,
  plural,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { snapshotSummary, storeNames } from './backup.ts';

export const SNAPSHOTS_PAGER = 'snapshots';
const SNAPSHOTS_A_PAGE = 10;

export function snapshotsView(report: SnapshotsReport, page: number): MessageView {
  const { snapshots } = report;
  const shown = pageOf(snapshots, page, SNAPSHOTS_A_PAGE);
  const title = mrk`📦 ${bold(report.cluster)} · ${
    snapshots.length === 0 ? mrk`no snapshots yet` : plural(snapshots.length, 'snapshot')
  }`;
  return message(join([title, ...shown.items.map((s) => snapshotSummary(s.record))], '\n'), [
    section(title),
    ...lines(shown.items.map((s) => entry(s, report))),
    ...report.problems
      .slice(0, 6)
      .map((p) =>
        context(
          mrk`⚠️ Store ${code(p.store)} could not be asked, what only it holds is missing here: ${plain(p.message)} ${plain(p.hint)}`,
        ),
      ),
    ...pager(SNAPSHOTS_PAGER, shown.page, shown.pages, { cluster: report.cluster }),
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
