/** Owns what is answered around retention: the dry run and its pages, and the two buttons of its question. */
import type { ConfirmAnswer } from '../commands/retention-commands.ts';
import { isOpenQuestion } from '../domain/retention-message.ts';
import type { RetentionQuestion } from '../domain/retention-message.ts';
import { actor, textOf } from './asking.ts';
import type { CarriedValue, TalkOptions } from './asking.ts';
import { bold, bytes, code, mention, message, mrk, plural, section } from './blocks.ts';
import type { MessageView, Mrkdwn } from './blocks.ts';
import { retentionKeys } from './message-state.ts';
import type { Click, ClickAnswer, ClickHandler } from './restore-talk.ts';
import { newestOf } from './series.ts';
import { RETENTION_ACTIONS } from './views/retention-notes.ts';
import { RETENTION_PAGER, retentionView } from './views/retention.ts';

/** Anyone may look; who may confirm sees a button where something waits. */
export async function answerRetention(
  options: TalkOptions,
  cluster: string,
  user: string,
  page: number,
): Promise<MessageView> {
  const person = await actor(options, user, 'prune', false);
  return retentionView(await options.commands.showRetention(person, cluster), page);
}

export const RETENTION_CLICKS: Readonly<Record<string, ClickHandler<TalkOptions>>> = {
  [RETENTION_ACTIONS.remove]: remove,
  [RETENTION_ACTIONS.decline]: decline,
  [`${RETENTION_PAGER}.previous`]: turn,
  [`${RETENTION_PAGER}.next`]: turn,
};

async function turn(options: TalkOptions, { user }: Click, value: CarriedValue): Promise<ClickAnswer> {
  return { view: await answerRetention(options, textOf(value, 'cluster'), user, Number(value['page'])), replace: true };
}

function clicked({ user, channel }: Click, value: CarriedValue) {
  return {
    cluster: textOf(value, 'cluster'),
    store: textOf(value, 'store'),
    digest: textOf(value, 'digest'),
    user,
    channel,
  };
}

async function remove({ commands }: TalkOptions, click: Click, value: CarriedValue): Promise<ClickAnswer> {
  return said(confirmedText(await commands.confirmRetention(clicked(click, value))));
}

function confirmedText({ kind, cluster, store, count, bytes: size }: ConfirmAnswer): Mrkdwn {
  if (kind === 'known')
    return mrk`ℹ️ This was confirmed for ${bold(cluster)} already; nothing more is started. The alerts channel says what came of it.`;
  return mrk`🗑 ${plural(count, 'snapshot')} (${bytes(size)}) of ${bold(cluster)} are removed from ${code(store)} as soon as the cluster is free. The alerts channel says what came of it.`;
}

/** What it came to is in the question's message, which somebody else may have answered before. */
async function decline(options: TalkOptions, click: Click, value: CarriedValue): Promise<ClickAnswer> {
  const { cluster, store, digest, ...by } = clicked(click, value);
  await options.commands.declineRetention({ cluster, store, digest, ...by });
  const { key } = await newestOf(options, retentionKeys.question(cluster, store));
  const question = (await options.sentMessages.read(key))?.state as RetentionQuestion | undefined;
  return said(declinedText(question, digest));
}

function declinedText(question: RetentionQuestion | undefined, digest: string): Mrkdwn {
  const phase = question?.phase;
  if (phase?.kind === 'confirmed') return mrk`ℹ️ Too late: ${mention(phase.by)} has confirmed it.`;
  if (question === undefined || !isOpenQuestion(question))
    return mrk`ℹ️ This question is closed; nothing needs saying.`;
  if (question.asked.digest !== digest) return mrk`ℹ️ The question has changed since; look at its message again.`;
  return mrk`👌 Nothing is removed. The question stays open in its message, and is asked aloud again in a week.`;
}

function said(line: Mrkdwn): ClickAnswer {
  return { view: message(line, [section(line)]), replace: false };
}
