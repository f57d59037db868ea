/** Owns the way from an event of retention to its messages: the question, the trouble, and the line in the backup's own. */
import type { BackupMessage } from '../domain/backup-message.ts';
import { canonical } from '../domain/plan.ts';
import type { RetentionEvent } from '../domain/retention-event.ts';
import {
  foldAnswered,
  foldAsks,
  foldClicked,
  foldRetained,
  foldTrouble,
  isNewQuestion,
} from '../domain/retention-message.ts';
import type { RetentionQuestion, RetentionTrouble } from '../domain/retention-message.ts';
import { retentionKeys } from './message-state.ts';
import { remember } from './remember.ts';
import type { RememberOptions } from './remember.ts';
import { beginNext, changeHead, newestOf } from './series.ts';

/** As `announcer` says. */
export async function announceRetention(options: RememberOptions, event: RetentionEvent): Promise<void> {
  switch (event.type) {
    case 'retention.begins':
      return;
    case 'retention.asks':
      return tellQuestion(options, event);
    case 'retention.confirmed':
    case 'retention.declined': {
      const { key } = await newestOf(options, retentionKeys.question(event.cluster, event.store));
      await remember<RetentionQuestion>(options, key, (before) => before && foldClicked(before, event));
      return;
    }
    case 'retention.done':
      return tellDone(options, event);
  }
}

async function tellQuestion(
  options: RememberOptions,
  event: Extract<RetentionEvent, { type: 'retention.asks' }>,
): Promise<void> {
  const series = retentionKeys.question(event.cluster, event.store);
  const { key, head } = await newestOf(options, series);
  const newest = (await options.sentMessages.read(key))?.state as RetentionQuestion | undefined;
  const isSeen = newest !== undefined && newest.at >= event.at;
  if (newest === undefined || isSeen || !isNewQuestion(newest, event)) {
    await remember<RetentionQuestion>(options, key, (before) => foldAsks(before, event, head.policy));
    return;
  }
  // The old one must not look as if it could still be answered.
  await remember<RetentionQuestion>(options, key, (before) => before && closed(before, event.at));
  const next = await beginNext(options, series, head.newest);
  await remember<RetentionQuestion>(options, next, (before) => foldAsks(before, event, head.policy));
}

function closed(question: RetentionQuestion, at: string): RetentionQuestion {
  const { kind } = question.phase;
  return kind === 'removed' || kind === 'outdated' ? question : { ...question, phase: { kind: 'outdated', at } };
}

async function tellDone(
  options: RememberOptions,
  event: Extract<RetentionEvent, { type: 'retention.done' }>,
): Promise<void> {
  for (const { store, policy, asks, isKnown } of event.stores) {
    const series = retentionKeys.question(event.cluster, store);
    const { key } = await newestOf(options, series);
    await remember<RetentionQuestion>(options, key, (before) => before && foldAnswered(before, event));
    if (asks || !isKnown) continue;
    await changeHead(options, series, (before) =>
      before.policy !== undefined && canonical(before.policy) === canonical(policy) ? before : { ...before, policy },
    );
  }
  await tellTrouble(options, event);
  if (event.after !== undefined)
    await remember<BackupMessage>(options, event.after, (before) => before && foldRetained(before, event));
}

async function tellTrouble(
  options: RememberOptions,
  event: Extract<RetentionEvent, { type: 'retention.done' }>,
): Promise<void> {
  const series = retentionKeys.trouble(event.cluster);
  const { key, head } = await newestOf(options, series);
  const newest = (await options.sentMessages.read(key))?.state as RetentionTrouble | undefined;
  const isSeen = newest !== undefined && newest.at >= event.at;
  const { isNews } = foldTrouble(newest, event);
  if (newest === undefined || isSeen || !isNews) {
    await remember<RetentionTrouble>(options, key, (before) =>
      before !== undefined && before.at >= event.at ? before : foldTrouble(before, event).state,
    );
    return;
  }
  const next = await beginNext(options, series, head.newest);
  await remember<RetentionTrouble>(options, next, (before) => before ?? foldTrouble(newest, event).state);
  await remember<RetentionTrouble>(options, key, (before) =>
    before?.over !== undefined ? before : before && { ...before, over: 'continued', at: event.at },
  );
}
