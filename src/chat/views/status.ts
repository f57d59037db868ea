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
  header,
  join,
  lines,
  md,
  message,
  plain,
  plural,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { cause, intoStores, snapshotSummary } from './backup.ts';
import { runningPhrase } from './running.ts';

const MEMBERS_SHOWN = 12;
/** etcd refuses writes when its quota is used up; worth saying before. */
const QUOTA_WARNING = 0.8;
/** Below this a lag is the noise of a busy cluster. */
const LAG_WARNING = 1000n;

export function statusView(report: StatusReport): MessageView {
  const verdict = judge(report.live);
  const title = md`${verdict.sign} ${bold(report.cluster)} · ${verdict.words}`;
  return message(join([title, backups(report)], '\n'), [
    header(report.cluster),
    section(title),
    ...liveBlocks(report.live),
    { type: 'divider' },
    section(backups(report)),
    ...lines(report.last.map((s) => join([snapshotSummary(s.record), intoStores(s.stores)]))),
    ...report.problems.slice(0, 6).map((p) => context(md`⚠️ ${plain(p)}`)),
    context(md`As of ${date(report.at)}`),
  ]);
}

/** One sign and a few words on the whole cluster: the worst that is true of it. */
function judge(live: LiveLook): { readonly sign: Mrkdwn; readonly words: Mrkdwn } {
  if (live.kind === 'blind')
    return {
      sign: md`
🔴
      `,
      words: md`
could not be looked at
      `,
    };
  const up = live.members.filter((m) => m.member.problem === undefined).length;
  const all = live.members.length;
  const members = up === all ? plural(all, 'member') : md`${up} of ${plural(all, 'member')} answer`;
  if (!live.hasLeader)
    return {
      sign: md`
🔴
      `,
      words: join([
        md`
_no leader: the cluster can't serve_
        `,
        members,
      ]),
    };
  const trouble = live.missing.length > 0 || live.members.some((m) => warnings(m).length > 0);
  return {
    sign:
      up < all || trouble
        ? md`
🟠
          `
        : md`
🟢
          `,
    words: join([members, versions(live)]),
  };
}

function versions(live: Extract<LiveLook, { kind: 'live' }>): Mrkdwn {
  const all = new Set(live.members.flatMap(({ member }) => (member.problem === undefined ? [member.version] : [])));
  return md`etcd ${join(
    [...all].slice(0, 4).map((v) => plain(v, 40)),
    ' and ',
  )}`;
}

function liveBlocks(live: LiveLook): KnownBlock[] {
  if (live.kind === 'blind') return [section(cause(live.problem))];
  const shown = live.members.slice(0, MEMBERS_SHOWN);
  const left = live.members.length - shown.length;
  return [
    ...lines(shown.map(memberLine)),
    ...(left > 0 ? [context(md`and ${plural(left, 'more member')}`)] : []),
    ...lines(
      live.missing
        .slice(0, MEMBERS_SHOWN)
        .map((n) => fit(md`🔴 node ${code(n.node)}: ${plain(n.message)} ${plain(n.hint)}`, 700)),
    ),
  ];
}

/** `🟢 *cp2* · follower · 3.5.16 · 412 MB of 8.0 GB (5 %) · in step`. */
function memberLine(line: MemberLine): Mrkdwn {
  const { member, lag } = line;
  const name = md`${bold(member.name === '' ? 'not started' : member.name)}${member.node === undefined || member.node === member.name ? md`` : md` on ${code(member.node)}`}`;
  if (member.problem !== undefined) {
    return fit(md`🔴 ${name} · ${plain(member.problem.message)} ${plain(member.problem.hint)}`, 700);
  }
  const bad = warnings(line);
  return fit(
    join([
      md`${
        bad.length > 0
          ? md`
🟠
            `
          : md`
🟢
            `
      } ${name}`,
      member.isLeader
        ? md`
_leader_
          `
        : member.isLearner
          ? md`
learner
            `
          : md`
follower
            `,
      plain(member.version, 40),
      database(line),
      lag <= LAG_WARNING
        ? md`
in step
          `
        : undefined,
      ...bad,
    ]),
    700,
  );
}

function database({ member }: MemberLine): Mrkdwn {
  if (member.quota <= 0) return bytes(member.dbSize);
  const inUse = member.dbSizeInUse > 0 ? md`, ${bytes(member.dbSizeInUse)} in use` : md``;
  return md`${bytes(member.dbSize)} of ${bytes(member.quota)} (${Math.round((member.dbSize / member.quota) * 100)} %${inUse})`;
}

function warnings({ member, lag }: MemberLine): Mrkdwn[] {
  if (member.problem !== undefined) return [];
  return [
    ...member.alarms.slice(0, 4).map((a) => md`*alarm ${plain(a, 80)}*`),
    ...(member.quota > 0 && member.dbSize >= QUOTA_WARNING * member.quota
      ? [
          md`
_database nearly full_
          `,
        ]
      : []),
    ...(lag > LAG_WARNING ? [md`*${count(lag)} entries behind*`] : []),
  ];
}

const STATE_WORDS: Readonly<Record<StatusReport['state'], Mrkdwn>> = {
  fresh: md`
🟢 Backups are fresh
  `,
  late: md`
🔴 _Backups are late_
  `,
  never: md`
🔴 _There is no backup yet_
  `,
  unknown: md`
🟠 Backups: not known, a store could not be asked
  `,
  'not-watched': md`
⚪ Backups: no recovery-point objective is set
  `,
};

function backups(report: StatusReport): Mrkdwn {
  return join([
    STATE_WORDS[report.state],
    report.rpoMs === undefined ? undefined : md`RPO ${duration(report.rpoMs)}`,
    report.nextRunAt === undefined
      ? md`
on demand only
        `
      : md`next ${date(report.nextRunAt)}`,
    report.running && runningPhrase(report.running),
  ]);
}
