/** Owns how the list of stored snapshots looks. Pure. */
import type { KnownBlock } from '@slack/types';
import type { SnapshotLine, SnapshotsReport } from '../../commands/list-snapshots.ts';
import type { SnapshotEntry } from '../../domain/snapshot-entry.ts';
import {
  bold,
  button,
  bytes,
  code,
  context,
  date,
  duration,
  fit,
  join,
  mrk,
  message,
  pager,
  plain,
  plural,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { snapshotSummary, storeNames } from './backup.ts';
import { holdText } from './hold-phrases.ts';

export const SNAPSHOTS_PAGER = 'snapshots';
/** Ten snapshots with their buttons are nearly all that Slack takes. */
const PROBLEMS_SHOWN = 3;
export const DETAILS_ACTION = 'snapshot.details';

/** What a button around one snapshot brings back. */
export interface SnapshotValue {
  readonly cluster: string;
  readonly snapshot: string;
}

export function snapshotsView(report: SnapshotsReport): MessageView {
  const { cluster, filters, lines, increments } = report;
  const title = mrk`📦 ${bold(cluster)} · ${countText(report)}`;
  return message(join([title, ...lines.map(summaryOf)], '\n'), [
    section(title),
    ...lines.map((line) => lineBlock(line, report)),
    ...(increments === 0
      ? []
      : [context(mrk`${plural(increments, 'increment')} of another tool left out: they are no snapshots.`)]),
    ...report.problems
      .slice(0, PROBLEMS_SHOWN)
      .map((p) =>
        context(
          mrk`⚠️ Store ${code(p.store)} could not be asked, what only it holds is missing here: ${plain(p.message, 200)} ${plain(p.hint, 200)}`,
        ),
      ),
    ...pager(SNAPSHOTS_PAGER, report.page, report.pages, { cluster, filters }),
  ]);
}

/** `10,000 snapshots`, or `3 of 10,000 snapshots: held, in:ceph`. */
function countText({ total, fitting, filters }: SnapshotsReport): Mrkdwn {
  if (total === 0) return mrk`no snapshots yet`;
  if (filters.length === 0) return plural(total, 'snapshot');
  return mrk`${fitting === 0 ? mrk`none` : mrk`${fitting}`} of ${plural(total, 'snapshot')}: ${join(
    filters.map((word) => code(word)),
    ' ',
  )}`;
}

/** Two lines and a button: what it is and how old; where it is and how to know it. */
function lineBlock(line: SnapshotLine, report: SnapshotsReport): KnownBlock {
  const { entry, record, hold } = line;
  const age = duration(Date.parse(report.at) - Date.parse(entry.takenAt));
  const value: SnapshotValue = { cluster: report.cluster, snapshot: entry.id };
  const [problem] = line.problems;
  const text = join(
    [
      mrk`*${age} ago* · ${summaryOf(line)}`,
      join([
        code(entry.id, 120),
        record && mrk`sha256 ${code(record.sha256.slice(0, 12))}`,
        ...copiesText(entry, report),
        hold && holdText(hold),
      ]),
      record === undefined && problem !== undefined ? mrk`⚠️ ${plain(problem.message, 160)}` : undefined,
    ],
    '\n',
  );
  return { ...section(fit(text, 800)), accessory: button(DETAILS_ACTION, 'Details', value) };
}

/** Without a manifest there is only what its name says. */
function summaryOf({ entry, record }: SnapshotLine): Mrkdwn {
  const adopted = entry.origin === 'adopted' ? mrk`of another tool` : undefined;
  if (record !== undefined) return join([snapshotSummary(record), adopted]);
  const size = bytes(entry.copies[0]?.size ?? 0);
  const what = entry.origin === 'other' ? mrk`of another tool, *not looked through yet*` : mrk`*no good manifest*`;
  return join([date(entry.takenAt), size, what]);
}

function copiesText({ copies }: SnapshotEntry, report: SnapshotsReport): readonly (Mrkdwn | undefined)[] {
  const names = (all: SnapshotEntry['copies']): readonly string[] => [...new Set(all.map(({ store }) => store))];
  const there = names(copies);
  const unknown = report.problems.map(({ store }) => store);
  return [
    storeNames(mrk`in`, names(copies.filter(({ isDamaged }) => !isDamaged))),
    storeNames(mrk`🔴 *damaged* in`, names(copies.filter(({ isDamaged }) => isDamaged))),
    storeNames(
      mrk`⚠️ not in`,
      report.stores.filter((store) => !there.includes(store) && !unknown.includes(store)),
    ),
  ];
}
