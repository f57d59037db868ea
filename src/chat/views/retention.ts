/** Owns how the dry run of retention looks: policies and counts first, then each snapshot with its reasons. Pure. */
import type { KnownBlock } from '@slack/types';
import type { RetentionReport, SnapshotRow, StoreRow } from '../../commands/retention-commands.ts';
import { hasRules } from '../../domain/retention.ts';
import type { Forecast } from '../../domain/retention-plan.ts';
import {
  actions,
  bold,
  bytes,
  code,
  context,
  count,
  date,
  fit,
  join,
  lines,
  message,
  mrk,
  pageOf,
  pager,
  plain,
  plural,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { policyText, removeButton } from './retention-notes.ts';

export const RETENTION_PAGER = 'retention';
const SNAPSHOTS_A_PAGE = 15;
const STORES_SHOWN = 6;
const QUESTIONS_SHOWN = 3;

export function retentionView(report: RetentionReport, page: number): MessageView {
  const { cluster, stores, snapshots, problems, strays } = report;
  const title = titleOf(report);
  const summary = stores.slice(0, STORES_SHOWN).map(storeText);
  const shown = pageOf(snapshots, page, SNAPSHOTS_A_PAGE);
  const held = snapshots.filter(({ isHeld }) => isHeld).length;
  return message(join([title, ...summary], '\n'), [
    section(title),
    ...lines(summary),
    ...waiting(report),
    ...problems
      .slice(0, 3)
      .map((p) =>
        context(mrk`⚠️ Store ${code(p.store)} could not be listed: ${plain(p.message, 200)} ${plain(p.hint, 200)}`),
      ),
    context(
      join([
        mrk`a dry run as of ${date(report.at)}: nothing is removed by looking`,
        mrk`days and weeks in ${plain(report.timezone, 60)}`,
        held === 0 ? undefined : mrk`${count(held)} held`,
        strays === 0 ? undefined : mrk`${plural(strays, 'stray')} found`,
      ]),
    ),
    ...lines(shown.items.map(rowText)),
    ...pager(RETENTION_PAGER, shown.page, shown.pages, { cluster }),
  ]);
}

function titleOf({ cluster, snapshots, nextRunAt, stores }: RetentionReport): Mrkdwn {
  const when =
    nextRunAt === undefined
      ? mrk`it runs after each good backup`
      : mrk`it runs after the next good backup, due ${date(nextRunAt)}`;
  const rule = stores.some(({ policy }) => hasRules(policy))
    ? when
    : mrk`*no retention is configured: everything stays*`;
  return mrk`🧹 ${bold(cluster)} · retention of ${plural(snapshots.length, 'snapshot')} · ${rule}`;
}

/** `ceph: the last 5, 7 daily. Keeps 12 (5 last, 7 daily). After the next backup: removes 1 (12 MB).` */
function storeText({ store, policy, keeps, keptBy, goes, goesNext, blocked, mostAtOnce }: StoreRow): Mrkdwn {
  const by = Object.entries(keptBy).map(([rule, n]) => mrk`${count(n)} ${plain(rule, 40)}`);
  const now =
    goes.count === 0
      ? undefined
      : mrk`*${count(goes.count)} (${bytes(goes.bytes)}) that no rule keeps are still there.*`;
  const next =
    goesNext.count === 0
      ? mrk`After the next backup: removes nothing.`
      : mrk`After the next backup: ${
          goesNext.mustAsk ? mrk`asks before it removes` : mrk`removes`
        } ${count(goesNext.count)} (${bytes(goesNext.bytes)})${
          goesNext.mustAsk ? mrk`, more than ${Math.round(mostAtOnce * 100)} % at once` : mrk``
        }.`;
  return fit(
    join(
      [
        mrk`• ${code(store)}: ${policyText(policy)}. Keeps ${count(keeps)}${by.length === 0 ? mrk`` : mrk` (${join(by, ', ')})`}.`,
        now,
        hasRules(policy) ? next : undefined,
        blocked === undefined ? undefined : mrk`⚠️ ${plain(blocked.message, 300)} ${plain(blocked.hint, 200)}`,
      ],
      ' ',
    ),
    800,
  );
}

/** Only who may say yes sees what to say it with. */
function waiting({ cluster, stores, mayConfirm }: RetentionReport): readonly KnownBlock[] {
  const asking = stores.filter(({ asks }) => asks).slice(0, QUESTIONS_SHOWN);
  return asking.flatMap(({ store, digest, goes }) => {
    const who = mayConfirm ? mrk`` : mrk` An operator can give it.`;
    const said = section(
      mrk`✋ What no rule keeps in ${code(store)} is too much at once: it waits for a person's word.${who}`,
    );
    return mayConfirm ? [said, actions([removeButton({ cluster, store, digest }, goes)])] : [said];
  });
}

function rowText({ id, takenAt, size, stores }: SnapshotRow): Mrkdwn {
  const sign = stores.some(({ goesNext }) => goesNext) ? mrk`🗑` : mrk`•`;
  return fit(mrk`${sign} ${code(id)} · ${date(takenAt)} · ${bytes(size)} · ${verdicts(stores)}`, 480);
}

/** Stores that say the same of a snapshot share a phrase. */
export function verdicts(stores: readonly Forecast[]): Mrkdwn {
  const said = new Map<Mrkdwn, string[]>();
  for (const each of stores) said.set(verdict(each), [...(said.get(verdict(each)) ?? []), each.store]);
  const phrases = [...said].map(([words, names]) =>
    said.size === 1
      ? words
      : mrk`${join(
          names.slice(0, 8).map((name) => code(name)),
          ', ',
        )}: ${words}`,
  );
  return join(phrases);
}

/** `kept: daily 2026-11-21; goes after 3 more backups`. */
function verdict({ keeps, goes }: Forecast): Mrkdwn {
  const kept = keeps.slice(0, 8).map((words) => plain(words, 80));
  return kept.length === 0
    ? mrk`no rule keeps it, ${plain(goes, 120)}`
    : mrk`kept: ${join(kept, ', ')}; ${plain(goes, 120)}`;
}
