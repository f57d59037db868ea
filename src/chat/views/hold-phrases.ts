/** Owns how holds are spoken of: in lists, in messages and in answers. Pure. */
import type { HoldAnswer, ReleaseQuestion } from '../../commands/hold-snapshot.ts';
import type { HoldState } from '../../commands/list-snapshots.ts';
import type { HoldNote } from '../../domain/hold.ts';
import type { HoldMessage } from '../../domain/hold-message.ts';
import { actions, bold, button, code, context, date, join, mention, message, mrk, plain, section } from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { storeNames } from './backup.ts';

/** `📌 held by @maya until 31 Dec: audit`, for lists. */
export function holdText({ note, isActive }: HoldState, most = 120): Mrkdwn {
  if (note === undefined) return mrk`📌 *held* by a note that can't be read`;
  if (!isActive) return mrk`hold ended ${date(note.until ?? '')}`;
  return mrk`📌 *held* ${noteText(note, most)}`;
}

function noteText({ by, until, reason }: HoldNote, most: number): Mrkdwn {
  const end = until === undefined ? mrk`` : mrk` until ${date(until)}`;
  return mrk`by ${mention(by)}${end}: ${plain(reason, most)}`;
}

/** In the results channel: one line, and one for each store that has to follow. */
export function holdView({ cluster, snapshot, takenAt, change, stores }: HoldMessage): MessageView {
  const what = mrk`snapshot ${code(snapshot, 120)} of ${date(takenAt)}`;
  const line =
    change.kind === 'held'
      ? mrk`📌 ${bold(cluster)} · ${what} is held ${noteText(change.note, 500)}`
      : mrk`🔓 ${bold(cluster)} · ${what} was released by ${mention(change.by)}`;
  const behind = stores.flatMap(({ store, problem, isGivenUp }) =>
    problem === undefined ? [] : [{ store, message: problem.message, isGivenUp }],
  );
  const left = behind.slice(0, 6).map(({ store, message: why, isGivenUp }) => {
    const next = isGivenUp ? mrk`*given up*: do it again when the store is back` : mrk`tried again for two days`;
    const state = change.kind === 'held' ? mrk`no hold in ${code(store)} yet` : mrk`*still held* by ${code(store)}`;
    return mrk`⚠️ ${state}, ${next}: ${plain(why, 300)}`;
  });
  return message(join([line, ...left], '\n'), [section(line), ...left.map(context)]);
}

export const RELEASE_ACTION = 'snapshot.release-anyway';

/** To the one who wants to release it: what comes of it, and a button that means it. */
export function releaseQuestionView({ cluster, snapshot, takenAt, goes }: ReleaseQuestion): MessageView {
  const what = mrk`Snapshot ${code(snapshot, 120)} of ${bold(cluster)} from ${date(takenAt)}`;
  const from = storeNames(mrk`from`, goes?.map(({ store }) => store) ?? []);
  const why =
    from === undefined
      ? mrk`What retention would do then can't be told just now.`
      : mrk`*No other rule keeps it:* retention removes it for good after the next backup, ${from}.`;
  const text = mrk`✋ ${what} is still held. ${why}`;
  const release = button(RELEASE_ACTION, 'Release it', { cluster, snapshot }, { style: 'danger' });
  return message(text, [section(text), actions([release])]);
}

/** To the one who asked. */
export function holdAnswerView({ snapshot, change, before, stores, isQueueAway }: HoldAnswer): MessageView {
  const done = stores.filter(({ problem }) => problem === undefined).map(({ store }) => store);
  const failed = stores.flatMap(({ store, problem }) =>
    problem === undefined ? [] : [mrk`⚠️ ${code(store)}: ${plain(problem.message, 300)} ${plain(problem.hint, 300)}`],
  );
  const again = isQueueAway
    ? mrk`The queue (Redis) is away, so this is not tried again by itself: do it again later.`
    : mrk`It is tried again by itself for two days.`;
  const lines = [
    outcome(change, code(snapshot, 120), failed.length === 0),
    storeNames(change.kind === 'held' ? mrk`Noted in` : mrk`Released in`, done),
    change.kind === 'held' && before !== undefined ? mrk`Before, it was held ${noteText(before, 200)}` : undefined,
    ...failed.slice(0, 6),
    failed.length > 0 ? again : undefined,
  ];
  return message(join(lines, '\n'), [section(join(lines, '\n'))]);
}

/** A note in one store holds the copies in all: to be held it takes one, to be released all of them. */
function outcome(change: HoldAnswer['change'], name: Mrkdwn, isWhole: boolean): Mrkdwn {
  if (change.kind === 'released') {
    return isWhole
      ? mrk`🔓 ${name} is released: it goes once no rule of retention keeps it.`
      : mrk`📌 ${name} *stays held* until every store has let go of it.`;
  }
  const { until } = change.note;
  const end = until === undefined ? mrk`until somebody releases it` : mrk`until ${date(until)}`;
  return mrk`📌 ${name} is held ${end}: retention leaves its copies alone in every store.`;
}
