/** Owns how retention asks people, and tells them what keeps it from its work. Pure. */
import type { Button } from '@slack/types';
import { rulesInWords } from '../../domain/retention.ts';
import type { RetentionPolicy } from '../../domain/retention.ts';
import type { FoundStray } from '../../domain/retention-event.ts';
import type { Cause, QuestionPhase, RetentionQuestion, RetentionTrouble } from '../../domain/retention-message.ts';
import {
  actions,
  bold,
  button,
  bytes,
  code,
  confirmation,
  context,
  count,
  date,
  fit,
  join,
  lines,
  mention,
  message,
  mrk,
  plain,
  plural,
  section,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';

export const RETENTION_ACTIONS = { remove: 'retention.remove', decline: 'retention.decline' } as const;

/** What both buttons bring back. */
export interface RetentionValue {
  readonly cluster: string;
  readonly store: string;
  /** Of the plan that was shown. */
  readonly digest: string;
}

/** The policy in words: `the last 5, 7 daily`. */
export function policyText(policy: RetentionPolicy): Mrkdwn {
  const rules = rulesInWords(policy);
  return rules.length === 0 ? mrk`everything stays (no retention is configured)` : plain(rules.join(', '));
}

/** `🗑 Remove 95 snapshots`, with Slack's own question behind it. */
export function removeButton(value: RetentionValue, going: { readonly count: number; readonly bytes: number }): Button {
  const what = plural(going.count, 'snapshot');
  return button(RETENTION_ACTIONS.remove, `🗑 Remove ${what}`, value, {
    style: 'danger',
    confirm: confirmation(
      `Remove ${what}?`,
      `${what} of ${value.cluster} (${bytes(going.bytes)}) are removed from ${value.store} for good. Nobody can bring them back.`,
      'Remove',
    ),
  });
}

export function retentionQuestionView(state: RetentionQuestion, command: string): MessageView {
  const { cluster, asked, was, phase, note } = state;
  const { removes, store, total } = asked;
  const many = mrk`${count(removes.count)} of ${plural(total, 'snapshot')}`;
  const title = titleOf(state, many);
  if (phase.kind === 'removed' || phase.kind === 'outdated') return message(title, [section(title)]);
  const changed = was === undefined ? undefined : mrk`before: ${policyText(was)}`;
  const facts = [
    mrk`• ${bytes(removes.bytes)}, taken from ${date(asked.oldest)} to ${date(asked.newest)}`,
    join([mrk`• Policy there: ${policyText(asked.policy)}`, changed], '; '),
    mrk`• That is more than may go at once without a person's word, so nothing was removed.`,
    ...(note === undefined ? [] : [mrk`• ⚠️ It was confirmed, and did not come about: ${plain(note, 600)}`]),
  ];
  const first = removes.first
    .slice(0, 10)
    .map(
      ({ id, takenAt, bytes: size, reason }) =>
        mrk`${code(id)} · ${date(takenAt)} · ${bytes(size)} · ${plain(reason, 120)}`,
    );
  const more = removes.count - first.length;
  const value: RetentionValue = { cluster, store, digest: asked.digest };
  const decline = button(RETENTION_ACTIONS.decline, 'Not now', value);
  const buttons =
    phase.kind === 'confirmed' ? [] : [removeButton(value, removes), ...(phase.kind === 'asking' ? [decline] : [])];
  return message(join([title, ...facts], '\n'), [
    section(title),
    section(join(facts, '\n')),
    ...lines(first),
    context(
      join([
        more > 0 ? mrk`and ${plural(more, 'more', 'more')}` : undefined,
        mrk`each with its reason: ${code(`${command} retention ${cluster}`, 160)}`,
      ]),
    ),
    ...(buttons.length === 0 ? [] : [actions(buttons)]),
  ]);
}

function titleOf({ cluster, asked, phase }: RetentionQuestion, many: Mrkdwn): Mrkdwn {
  const [name, store] = [bold(cluster), code(asked.store)];
  const TITLES: { readonly [K in QuestionPhase['kind']]: (phase: Extract<QuestionPhase, { kind: K }>) => Mrkdwn } = {
    asking: () => {
      const who =
        asked.notNow === undefined ? mrk`` : mrk`${mention(asked.notNow)}: others would go now than you confirmed. `;
      return mrk`🧹 ${who}${name} · retention asks: may ${many} go from ${store}?`;
    },
    declined: ({ by, at }) =>
      mrk`🧹 ${name} · ${mention(by)} said “not now” ${date(at)}: ${many} would go from ${store}, and stay until somebody says so.`,
    confirmed: ({ by, at }) =>
      mrk`⏳ ${name} · ${mention(by)} confirmed ${date(at)}: ${many} are removed from ${store} as soon as the cluster is free.`,
    removed: ({ by, count: removed, bytes: freed, left }) =>
      mrk`🗑 ${name} · ${plural(removed, 'snapshot')} (${bytes(freed)}) removed from ${store}; ${mention(by)} had confirmed it.${
        left > 0 ? mrk` ${count(left)} stay for now.` : mrk``
      }`,
    outdated: ({ at }) =>
      mrk`🧹 ${name} · the question about ${many} in ${store} was closed ${date(at)}: it does not stand any more.`,
  };
  return TITLES[phase.kind](phase as never);
}

// ── Trouble ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Slack shows as many sections as it likes; people read these. */
const CAUSES_SHOWN = 12;

export function retentionTroubleView({ cluster, causes, over, at }: RetentionTrouble, command: string): MessageView {
  if (over !== undefined) {
    const end =
      over === 'healed'
        ? mrk`✅ ${bold(cluster)} · retention has no trouble any more, ${date(at)}`
        : mrk`🧹 ${bold(cluster)} · retention's trouble goes on in a newer message`;
    return message(end, [section(end)]);
  }
  const title = mrk`⚠️ ${bold(cluster)} · retention needs a look`;
  const shown = causes.slice(0, CAUSES_SHOWN).map(causeText);
  const more = causes.length - shown.length;
  return message(join([title, ...shown], '\n'), [
    section(title),
    ...lines(shown),
    context(
      join([
        more > 0 ? mrk`and ${plural(more, 'more', 'more')}` : undefined,
        mrk`as of ${date(at)}`,
        mrk`the backup itself is stored`,
        mrk`more: ${code(`${command} retention ${cluster}`, 160)}`,
      ]),
    ),
  ]);
}

const FATES: Readonly<Record<FoundStray['fate'], Mrkdwn>> = {
  waits: mrk`wait for their grace to end`,
  removed: mrk`removed`,
  left: mrk`left`,
  spared: mrk`spared`,
};

function causeText({ store, message: words, hint, tally = [] }: Cause): Mrkdwn {
  const where = store === undefined ? mrk`` : mrk`${code(store)}: `;
  const counts = tally.map((line) => mrk`${count(line.count)} (${bytes(line.bytes)}) ${FATES[line.fate]}`);
  const said = counts.length === 0 ? undefined : mrk`${join(counts, ', ')}.`;
  return fit(join([mrk`• ${where}${plain(words, 500)}`, said, plain(hint, 300)], ' '), 1000);
}
