/** Owns how the live look at one cluster looks. Pure. */
import type { KnownBlock } from '@slack/types';
import type { LiveLook, MemberLine, StatusReport } from '../../commands/show-status.ts';
import {
  bold,
  bytes,
  code,
  context,
  count,
  date,
  duration,
  fit,
  join,
  lines,
  mrk,
  message,
  plain,
  plural,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { cause, snapshotSummary, storeNames } from './backup.ts';
import { runningPhrase } from './running.ts';

const MEMBERS_SHOWN = 12;
/** etcd refuses writes when its quota is used up; worth saying before. */
const QUOTA_WARNING = 0.8;
/** Below this a lag is the noise of a busy cluster. */
const LAG_WARNING = 1000n;

export function statusView(report: StatusReport): MessageView {
  const verdict = judge(report.live);
  const title = mrk`${verdict.sign} ${bold(report.cluster)} · ${verdict.words}`;
  return message(join([title, backups(report)], '\n'), [
    section(title),
    ...liveBlocks(report.live),
    { type: 'divider' },
    section(backups(report)),
    ...lines(report.last.map((s) => join([snapshotSummary(s.record), storeNames(mrk`in`, s.stores)]))),
    ...report.problems.slice(0, 6).map((p) => context(mrk`⚠️ ${plain(p)}`)),
    context(mrk`As of ${date(report.at)}`),
  ]);
}

/** One sign and a few words on the whole cluster: the worst that is true of it. */
function judge(live: LiveLook): { readonly sign: Mrkdwn; readonly words: Mrkdwn } {
  if (live.kind === 'blind')
    return {
      sign: mrk`🔴`,
      words: mrk`could not be looked at`,
    };
  const up = live.members.filter((m) => m.member.problem === undefined).length;
  const all = live.members.length;
  const members = up === all ? plural(all, 'member') : mrk`${up} of ${plural(all, 'member')} are well`;
  if (!live.hasLeader)
    return {
      sign: mrk`🔴`,
      words: join([mrk`*no leader: the cluster can't serve*`, members]),
    };
  const trouble = live.missing.length > 0 || live.members.some((m) => warnings(m).length > 0);
  const [sign, word] = up < all || trouble ? [mrk`🟠`, mrk`*needs a look*`] : [mrk`🟢`, mrk`healthy`];
  return { sign, words: join([word, members, versions(live)]) };
}

function versions(live: Extract<LiveLook, { kind: 'live' }>): Mrkdwn | undefined {
  const all = new Set(live.members.flatMap(({ member }) => (member.problem === undefined ? [member.version] : [])));
  const named = [...all].slice(0, 4).map((version) => plain(version, 40));
  return named.length === 0 ? undefined : mrk`etcd ${join(named, ' and ')}`;
}

function liveBlocks(live: LiveLook): KnownBlock[] {
  if (live.kind === 'blind') return [section(cause(live.problem))];
  const shown = live.members.slice(0, MEMBERS_SHOWN);
  const left = live.members.length - shown.length;
  return [
    ...lines(shown.map(memberLine)),
    ...(left > 0 ? [context(mrk`and ${plural(left, 'more member')}`)] : []),
    ...lines(
      live.missing
        .slice(0, MEMBERS_SHOWN)
        .map((n) => fit(mrk`🔴 node ${code(n.node)}: ${plain(n.message)} ${plain(n.hint)}`, 700)),
    ),
  ];
}

/** `🟢 *cp2* · healthy · follower · 3.5.16 · 412 MB of 8.0 GB (5 %) · in step`. */
function memberLine(line: MemberLine): Mrkdwn {
  const { member, lag } = line;
  const name = mrk`${bold(member.name === '' ? 'not started' : member.name)}${member.node === undefined || member.node === member.name ? mrk`` : mrk` on ${code(member.node)}`}`;
  if (member.problem !== undefined) {
    return fit(mrk`🔴 ${name} · ${plain(member.problem.message)} ${plain(member.problem.hint)}`, 700);
  }
  const bad = warnings(line);
  return fit(
    join([
      bad.length > 0 ? mrk`🟠 ${name}` : mrk`🟢 ${name} · healthy`,
      member.isLeader ? mrk`*leader*` : member.isLearner ? mrk`learner` : mrk`follower`,
      plain(member.version, 40),
      database(line),
      lag <= LAG_WARNING ? mrk`in step` : undefined,
      ...bad,
    ]),
    700,
  );
}

function database({ member }: MemberLine): Mrkdwn {
  if (member.quota <= 0) return bytes(member.dbSize);
  const inUse = member.dbSizeInUse > 0 ? mrk`, ${bytes(member.dbSizeInUse)} in use` : mrk``;
  return mrk`${bytes(member.dbSize)} of ${bytes(member.quota)} (${Math.round((member.dbSize / member.quota) * 100)} %${inUse})`;
}

function warnings({ member, lag }: MemberLine): Mrkdwn[] {
  if (member.problem !== undefined) return [];
  return [
    ...member.alarms.slice(0, 4).map((a) => mrk`*alarm ${plain(a, 80)}*`),
    ...(member.quota > 0 && member.dbSize >= QUOTA_WARNING * member.quota ? [mrk`*database nearly full*`] : []),
    ...(lag > LAG_WARNING ? [mrk`*${count(lag)} entries behind*`] : []),
  ];
}

const STATE_WORDS: Readonly<Record<StatusReport['state'], Mrkdwn>> = {
  fresh: mrk`🟢 Backups are fresh`,
  late: mrk`🔴 *Backups are late*`,
  never: mrk`🔴 *There is no backup yet*`,
  unknown: mrk`🟠 Backups: not known, a store could not be asked`,
  'not-watched': mrk`⚪ Backups: no recovery-point objective is set`,
};

function backups(report: StatusReport): Mrkdwn {
  return join([
    STATE_WORDS[report.state],
    report.rpoMs === undefined ? undefined : mrk`RPO ${duration(report.rpoMs)}`,
    report.nextRunAt === undefined ? mrk`on demand only` : mrk`next ${date(report.nextRunAt)}`,
    report.running && runningPhrase(report.running),
  ]);
}
