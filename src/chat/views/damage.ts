/** Owns how the alarm for a damaged copy looks, and what is said when the scrub can't keep up. Pure. */
import type { DamageMessage } from '../../domain/damage-message.ts';
import type { ScrubEvent } from '../../domain/copy-event.ts';
import {
  bold,
  bytes,
  code,
  context,
  date,
  duration,
  header,
  join,
  mention,
  message,
  mrk,
  plain,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { cause, storeNames } from './backup.ts';

export interface DamageSurroundings {
  readonly oncall: string | undefined;
  readonly command: string;
}

export function damageView(state: DamageMessage, { oncall, command }: DamageSurroundings): MessageView {
  const { found, outcome } = state;
  const { cluster, snapshot, store, takenAt } = found;
  const isOver = outcome?.kind === 'repaired' || outcome?.kind === 'healed';
  const sign = isOver ? '✅' : '🔴';
  const title = titleOf(state, isOver);
  const line = mrk`${plain(sign)} ${bold(cluster)} · ${title}`;
  const which = mrk`*Which:* ${code(snapshot)} of ${date(takenAt)}, its copy in ${code(store)}`;
  const what = mrk`*What ${isOver ? mrk`was` : mrk`is`} wrong:* ${plain(found.found, 600)}`;
  const rest = [which, what, ...(found.isDisputed ? [] : [elsewhere(state)]), whatNext(state, command)];
  const call = oncall === undefined || isOver ? [] : [mrk`${mention(oncall)} ${title}: ${bold(cluster)}`];
  return message(join([...call, line, ...rest], '\n'), [
    ...call.map((each) => section(each)),
    header(`${sign} ${cluster}: ${title}`),
    section(join(rest, '\n')),
    context(join([mrk`found ${date(found.at)}`, code(found.by, 160)])),
  ]);
}

/** Fixed words, with nothing in them to escape. */
function titleOf({ found }: DamageMessage, isOver: boolean): Mrkdwn {
  if (found.isDisputed) return isOver ? mrk`manifests of a snapshot differed` : mrk`manifests of a snapshot differ`;
  return isOver ? mrk`a stored copy was damaged` : mrk`a stored copy is damaged`;
}

function elsewhere({ found: { whole, unread } }: DamageMessage): Mrkdwn {
  const good = storeNames(mrk`*Elsewhere:* whole in`, whole);
  if (good !== undefined) return good;
  return (
    storeNames(mrk`*Elsewhere:* not known, since these could not be read:`, unread) ??
    mrk`*Elsewhere:* 🔴 there is no good copy.`
  );
}

function whatNext({ found, outcome }: DamageMessage, command: string): Mrkdwn {
  const { cluster, store } = found;
  switch (outcome?.kind) {
    case 'repaired':
      return mrk`✅ Made anew ${date(outcome.at)} from the copy in ${code(outcome.from)}, and read again to its end. If it happens again, look at the disks of ${code(store)}.`;
    case 'healed':
      return mrk`✅ Read again ${date(outcome.at)}, it is whole.`;
    case 'not-repaired':
      return mrk`*It could not be made anew:* ${cause(outcome.problem)}`;
    case undefined:
  }
  if (found.markProblem !== undefined)
    return mrk`*What to do:* It could not be marked, so it still counts as good. ${cause(found.markProblem)}`;
  if (found.isDisputed)
    return mrk`*What to do:* Compare the manifests, and find out who may write to these stores. Until then do not restore from it.`;
  if (found.isRepaired)
    return mrk`*What Keyturn does:* The copy does not count any more; it is made anew from a good one, and this message will say so.`;
  return mrk`*What to do:* It does not count any more. Take a backup now, ${code(`${command} backup ${cluster}`, 120)}, and look at the disks of ${code(store)}.`;
}

export function scrubBehindView({ bytes: total, neededMs, everyMs, rateLimit }: ScrubEvent): MessageView {
  const line = mrk`🐌 Stored copies can't all be read again every ${duration(everyMs)}: ${bytes(total)} at ${bytes(rateLimit)}/s take ${duration(neededMs)}.`;
  const next = mrk`*What to do:* Raise ${code('scrub.rateLimit')} or ${code('scrub.every')}, or keep less. Reading goes on meanwhile.`;
  return message(join([line, next], '\n'), [section(line), section(next)]);
}
