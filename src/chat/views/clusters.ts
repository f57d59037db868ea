/** Owns how the overview of all clusters looks, as an answer and as the Home tab. Pure. */
import type { HomeView, KnownBlock } from '@slack/types';
import type { WaitingRequest } from '../../commands/list-approvals.ts';
import type { ClusterRow, ClustersReport } from '../../commands/show-clusters.ts';
import {
  LIMITS,
  bold,
  bytes,
  code,
  context,
  date,
  duration,
  fit,
  header,
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
import { approvalsTitle } from './approvals.ts';
import { runningPhrase } from './running.ts';

export const CLUSTERS_PAGER = 'clusters';
const ROWS_A_PAGE = 20;
const ROWS_ON_HOME = 60;
const ROW_MAX = 480;

export function clustersView(report: ClustersReport, page: number, command: string): MessageView {
  const { rows } = report;
  const shown = pageOf(rows, page, ROWS_A_PAGE);
  const more = rows.length > 0 ? [context(mrk`Live look at one: ${code(`${command} status <cluster>`)}`)] : [];
  return message(join([summary(rows), ...shown.items.map(row)], '\n'), [
    section(summary(rows)),
    ...lines(shown.items.map(row)),
    ...problems(report),
    ...more,
    ...pager(CLUSTERS_PAGER, shown.page, shown.pages, {}),
  ]);
}

/** App Home: the worst clusters first, as many as fit. */
export function homeView(report: ClustersReport, command: string, waiting: readonly WaitingRequest[] = []): HomeView {
  const shown = report.rows.slice(0, ROWS_ON_HOME);
  const left = report.rows.length - shown.length;
  return {
    type: 'home',
    blocks: [
      ...(waiting.length === 0
        ? []
        : [section(mrk`${approvalsTitle(waiting)} See them: ${code(`${command} approvals`)}`)]),
      header('etcd backups'),
      section(summary(report.rows)),
      ...lines(shown.map(row)),
      ...(left > 0 ? [context(mrk`and ${plural(left, 'more cluster')}: ${code(`${command} clusters`)}`)] : []),
      ...problems(report),
      context(mrk`As of ${date(report.at)}. Type ${code(`${command} help`)} in any channel to see what you can do.`),
    ].slice(0, LIMITS.homeBlocks),
  };
}

/** The Home tab of someone who may see nothing. */
export function closedHomeView(why: Mrkdwn): HomeView {
  return { type: 'home', blocks: [header('etcd backups'), section(why)] };
}

const SIGNS: Readonly<Record<ClusterRow['state'], { readonly sign: Mrkdwn; readonly word: Mrkdwn }>> = {
  never: {
    sign: mrk`🔴`,
    word: mrk`never backed up`,
  },
  late: {
    sign: mrk`🔴`,
    word: mrk`late`,
  },
  unknown: {
    sign: mrk`🟠`,
    word: mrk`not known`,
  },
  'not-watched': {
    sign: mrk`⚪`,
    word: mrk`no RPO set`,
  },
  fresh: {
    sign: mrk`🟢`,
    word: mrk`fresh`,
  },
};

/** `3 clusters: 🔴 1 late · 🟢 2 fresh`. */
function summary(rows: readonly ClusterRow[]): Mrkdwn {
  if (rows.length === 0) return mrk`No clusters are configured yet.`;
  const states = Object.keys(SIGNS) as ClusterRow['state'][];
  const counts = states.map((state) => {
    const n = rows.filter((r) => r.state === state).length;
    return n === 0 ? undefined : mrk`${SIGNS[state].sign} ${n} ${SIGNS[state].word}`;
  });
  return mrk`*${plural(rows.length, 'cluster')}*: ${join(counts)}`;
}

/** `🔴 *prod-eu* · late: 9 h ago, RPO 8 h · 412 MB · next today 18:00`. */
function row(r: ClusterRow): Mrkdwn {
  return fit(
    join([
      mrk`${SIGNS[r.state].sign} ${bold(r.cluster)}`,
      age(r),
      r.lastGood && bytes(r.lastGood.size),
      r.running && runningPhrase(r.running),
      r.nextRunAt === undefined ? mrk`on demand only` : mrk`next ${date(r.nextRunAt)}`,
      r.problems.length > 0 ? plain(r.problems.join('; '), 160) : undefined,
    ]),
    ROW_MAX,
  );
}

function age(r: ClusterRow): Mrkdwn {
  const { word } = SIGNS[r.state];
  if (r.lastGood === undefined) return word;
  const rpo = r.rpoMs === undefined ? mrk`` : mrk`, RPO ${duration(r.rpoMs)}`;
  return mrk`${word}: ${duration(r.lastGood.ageMs)} ago${rpo}`;
}

function problems(report: ClustersReport): KnownBlock[] {
  return report.problems.map((p) => context(mrk`⚠️ ${plain(p)}`));
}
