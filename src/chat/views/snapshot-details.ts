/** Owns the dialog with all that is known of one snapshot, and the small form by which it is held. Pure. */
import type { KnownBlock, ModalView } from '@slack/types';
import type { CopyDetails, SnapshotDetails } from '../../commands/list-snapshots.ts';
import { END_HINT } from '../../commands/hold-words.ts';
import { LONGEST_HOLD_REASON } from '../../domain/hold.ts';
import { isFound } from '../../domain/snapshot.ts';
import type { Encoding, SnapshotRecord } from '../../domain/snapshot.ts';
import {
  actions,
  bold,
  button,
  bytes,
  code,
  confirmation,
  context,
  date,
  duration,
  fit,
  join,
  lines,
  mrk,
  plain,
  plural,
  section,
} from '../blocks.ts';
import type { Mrkdwn } from '../blocks.ts';
import { modal, textField } from '../modal-blocks.ts';
import { keysOf, revision, triggeredBy } from './backup.ts';
import { holdText } from './hold-phrases.ts';
import { verdicts } from './retention.ts';
import type { SnapshotValue } from './snapshots.ts';

export const SNAPSHOT_ACTIONS = {
  hold: 'snapshot.hold',
  release: 'snapshot.release',
  verify: 'snapshot.verify',
  restore: 'snapshot.restore',
} as const;
export const HOLD_FORM = 'snapshot.hold-form';
export const HOLD_FIELDS = { reason: 'reason', end: 'end' } as const;
const TITLE = 'Snapshot';

/** What the buttons of the dialog bring back; `channel`: where it was opened. */
export interface DialogValue extends SnapshotValue {
  readonly channel: string;
}

/** `said`: what was just done with it. */
export function snapshotDialog(details: SnapshotDetails, channel: string, said?: Mrkdwn): ModalView {
  const { entry, record, cluster, at, hold, away } = details;
  const age = duration(Date.parse(at) - Date.parse(entry.takenAt));
  const title = mrk`📦 ${bold(cluster)} · ${code(entry.id, 255)}\n${date(entry.takenAt)} · *${age} ago*`;
  return modal(TITLE, [
    ...(said === undefined ? [] : [section(said)]),
    section(title),
    ...lines(record === undefined ? withoutRecord(details) : factsOf(record).map((fact) => fit(fact, 1500))),
    section(mrk`*Copies*`),
    ...lines(copyLines(details).map((line) => fit(line, 900))),
    ...(hold === undefined ? [] : [section(holdBlock(hold))]),
    section(retentionText(details)),
    ...away
      .slice(0, 4)
      .map((p) => context(mrk`⚠️ Store ${code(p.store)} could not be asked: ${plain(p.message)} ${plain(p.hint)}`)),
    ...buttons(details, { cluster, snapshot: entry.id, channel }),
  ]);
}

function withoutRecord({ entry, problems }: SnapshotDetails): Mrkdwn[] {
  if (entry.origin === 'other')
    return [
      mrk`Of another tool. Nobody has looked through it yet: its hash, its revision and its keys are not known, and it can't be restored before.`,
    ];
  return problems.slice(0, 4).map((p) => mrk`🔴 ${plain(p.message, 600)} ${plain(p.hint, 300)}`);
}

/** What the manifest says, a line each. */
function factsOf(record: SnapshotRecord): Mrkdwn[] {
  const { object, encoding, sha256 } = record;
  return [
    join([bytes(record.size), mrk`revision ${revision(record)}`, keysOf(record)]),
    mrk`sha256 ${code(sha256, 64)}`,
    record.checks.length === 0
      ? mrk`⚠️ *Not verified*`
      : mrk`✓ Verified when it was ${isFound(record) ? mrk`found` : mrk`taken`}: ${plain(record.checks.join(', '), 200)}`,
    ...originOf(record),
    mrk`Kept ${encodingText(encoding)}${object.sha256 === sha256 ? mrk`` : mrk`: ${bytes(object.size)}, sha256 ${code(object.sha256, 64)}`}`,
  ];
}

/** Where it came from, and what of that is not known. */
function originOf(record: SnapshotRecord): Mrkdwn[] {
  if (isFound(record))
    return [
      mrk`Written by another tool: its cluster id, its member, the version of etcd and the number of keys are unknown`,
      join([mrk`Taken up by Keyturn ${plain(record.keyturnVersion, 40)}`, triggeredBy(record.trigger)]),
    ];
  const { member } = record;
  const on = member.node === member.name ? mrk`` : mrk` on ${code(member.node)}`;
  return [
    mrk`Read from ${code(member.name)}${on} (${member.isLeader ? mrk`leader` : mrk`follower`}), etcd ${plain(record.etcdVersion, 40)}, cluster ${code(record.clusterId)}`,
    join([
      mrk`Taken by Keyturn ${plain(record.keyturnVersion, 40)} in ${duration(record.durationMs)}`,
      record.source === 'etcdctl' ? mrk`with etcdctl on the node` : undefined,
      triggeredBy(record.trigger),
      code(record.operation, 160),
    ]),
  ];
}

function encodingText({ compression, encryption, recipients }: Encoding): Mrkdwn {
  const shown = recipients.slice(0, 4).map((each) => code(each, 80));
  const more = recipients.length - shown.length;
  const whom = join([...shown, more > 0 ? mrk`${plural(more, 'more')}` : undefined], ', ');
  const how = [
    compression === 'none' ? undefined : mrk`compressed with ${plain(compression)}`,
    encryption === 'none' ? undefined : mrk`encrypted with ${plain(encryption)} for ${whom}`,
  ];
  return join(how, ', ') === '' ? mrk`as it is` : join(how, ', ');
}

function copyLines({ at, copies, stores, away }: SnapshotDetails): Mrkdwn[] {
  const there = new Set([...copies, ...away].map(({ store }) => store));
  return [
    ...copies.slice(0, 12).map((copy) => copyLine(copy, at)),
    ...stores
      .filter((store) => !there.has(store))
      .slice(0, 12)
      .map((store) => mrk`⚠️ not in ${code(store)}`),
  ];
}

function copyLine({ store, key, size, isDamaged, damage, problem, readAt }: CopyDetails, at: string): Mrkdwn {
  const ago = (time: string): Mrkdwn => duration(Date.parse(at) - Date.parse(time));
  const read = readAt === undefined ? undefined : mrk`read again ${ago(readAt)} ago`;
  const what = join([code(store), bytes(size), code(key, 255), read]);
  if (isDamaged) {
    const why = damage === undefined ? mrk`what is wrong can't be told just now` : plain(damage.found, 300);
    const when = damage === undefined ? mrk`` : mrk` ${ago(damage.at)} ago`;
    return mrk`🔴 ${what} · *found damaged*${when}, does not count: ${why}`;
  }
  return problem === undefined ? mrk`✓ ${what}` : mrk`🔴 ${what} · ${plain(problem, 300)}`;
}

function holdBlock(hold: NonNullable<SnapshotDetails['hold']>): Mrkdwn {
  const where = join(
    hold.stores.slice(0, 8).map((store) => code(store)),
    ', ',
  );
  return mrk`${holdText(hold, LONGEST_HOLD_REASON)}${where === '' ? mrk`` : mrk`\nnoted in ${where}`}`;
}

/** What retention will do, and when. */
function retentionText({ entry, retention }: SnapshotDetails): Mrkdwn {
  if (entry.origin !== 'keyturn') return mrk`🧹 Retention leaves it alone: it is another tool's.`;
  if (retention === undefined) return mrk`🧹 What retention will do with it can't be told just now.`;
  const goesNext = retention.stores.some((store) => store.goesNext);
  return fit(mrk`${goesNext ? mrk`🗑` : mrk`🧹`} Retention: ${verdicts(retention.stores)}`, 1500);
}

function buttons({ hold, may, record, retention }: SnapshotDetails, value: DialogValue): KnownBlock[] {
  const release = button(SNAPSHOT_ACTIONS.release, 'Release', value, {
    confirm: confirmation('Release this snapshot?', releaseWarning(retention), 'Release'),
  });
  const all = [
    ...(may.hold ? [button(SNAPSHOT_ACTIONS.hold, hold === undefined ? 'Hold…' : 'Change the hold…', value)] : []),
    ...(may.hold && hold !== undefined ? [release] : []),
    ...(may.verify ? [button(SNAPSHOT_ACTIONS.verify, 'Verify', value)] : []),
    ...(may.restore && record !== undefined ? [button(SNAPSHOT_ACTIONS.restore, 'Restore…', value)] : []),
  ];
  return all.length === 0 ? [] : [actions(all)];
}

function releaseWarning(retention: SnapshotDetails['retention']): string {
  if (retention === undefined) return 'Retention may remove it then, for good.';
  const stores = retention.released.filter(({ goesNext }) => goesNext).map(({ store }) => store);
  if (stores.length === 0) return 'Retention keeps it for now by its other rules, and removes it once none keeps it.';
  return `No other rule keeps it: retention removes it for good after the next backup, from ${stores.join(', ')}.`;
}

/** What the form brings back. */
export interface HoldFormValue {
  /** Undefined: the only one that has it. */
  readonly cluster: string | undefined;
  readonly snapshot: string;
  readonly channel: string;
}

export function holdForm(value: HoldFormValue): ModalView {
  return modal(
    'Hold a snapshot',
    [
      section(
        mrk`📌 Retention leaves ${code(value.snapshot, 255)} alone while it is held. Everybody sees who holds it and why.`,
      ),
      textField(HOLD_FIELDS.reason, {
        label: 'Why',
        hint: 'On one line; whoever wonders later reads it.',
        most: LONGEST_HOLD_REASON,
      }),
      textField(HOLD_FIELDS.end, {
        label: 'Until when',
        hint: `Empty: until somebody releases it. ${END_HINT}`,
        optional: true,
        most: 40,
        placeholder: '30d or 2026-12-31',
      }),
    ],
    { submit: 'Hold', close: 'Back', callback: HOLD_FORM, metadata: value },
  );
}
