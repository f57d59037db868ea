/** Owns the words and buttons that all messages of a restore share. Pure. */
import type { Button, KnownBlock } from '@slack/types';
import type { RestoreMode } from '../../domain/restore-policy.ts';
import { approvals } from '../../domain/restore-request.ts';
import type { Decision, RequestState, RestoreRequest } from '../../domain/restore-request.ts';
import type { RestoreSummary } from '../../domain/restore-summary.ts';
import {
  bold,
  button,
  bytes,
  code,
  confirmation,
  count,
  date,
  duration,
  join,
  mention,
  mrk,
  plain,
  quote,
  section,
} from '../blocks.ts';
import type { Mrkdwn } from '../blocks.ts';

/** What can be clicked on a restore; the conversation listens to these. */
export const RESTORE_ACTIONS = {
  approve: 'restore.approve',
  deny: 'restore.deny',
  takeBack: 'restore.take-back',
  withdraw: 'restore.withdraw',
  stop: 'restore.stop',
  retry: 'restore.decide.retry',
  'roll-back': 'restore.decide.roll-back',
  'give-up': 'restore.decide.give-up',
  plan: 'restore.plan',
} as const;

/** What each of them brings back. It proves nothing: who clicked comes from Slack, what holds from the request. */
export interface RestoreValue {
  readonly request: string;
  readonly digest: string;
  /** An approval will want a one-time code, so the dialog can open at once. */
  readonly code?: true;
}

/** A request or its summary: a message knows the one, an answer the other. */
type Request = RestoreRequest | RestoreSummary;

const STATES: Readonly<Record<RequestState, { readonly sign: Mrkdwn; readonly word: Mrkdwn }>> = {
  pending: { sign: mrk`🔑`, word: mrk`waits for approvals` },
  approved: { sign: mrk`🔑`, word: mrk`approved, about to start` },
  running: { sign: mrk`⏳`, word: mrk`running` },
  'rolling-back': { sign: mrk`↩️`, word: mrk`being rolled back` },
  succeeded: { sign: mrk`✅`, word: mrk`restored` },
  'rolled-back': { sign: mrk`↩️`, word: mrk`taken back` },
  failed: { sign: mrk`❌`, word: mrk`failed` },
  denied: { sign: mrk`🚫`, word: mrk`denied` },
  withdrawn: { sign: mrk`🚫`, word: mrk`withdrawn` },
  expired: { sign: mrk`⌛`, word: mrk`expired` },
  void: { sign: mrk`⚠️`, word: mrk`void: the plan no longer fits the cluster` },
};

/** How a request stands, in one line: `🚫 Restore of *prod-eu* (`r1`): denied by @bob 06:40`. */
export function standingLine(request: Request): Mrkdwn {
  const { sign, word } = STATES[request.state];
  const waits = request.waiting === undefined ? mrk`` : mrk`, waits for a decision`;
  const by = request.ended?.by === undefined ? mrk`` : mrk` by ${mention(request.ended.by)}`;
  const when = request.ended === undefined ? mrk`` : mrk` ${date(request.ended.at)}`;
  const progress = request.state === 'pending' ? mrk` (${approvalCount(request)})` : mrk``;
  return mrk`${sign} Restore of ${bold(request.cluster)} (${code(request.id)}): ${word}${progress}${waits}${by}${when}`;
}

export function approvalCount(request: Request): Mrkdwn {
  return mrk`${approvals(request).length} of ${request.threshold}`;
}

/** `*1 of 2 approvals:* @bob ✓ 06:35`. */
export function approvalsLine(request: Request): Mrkdwn {
  const given = approvals(request).map(({ reviewer, at, codeProved }) =>
    join([mention(reviewer), mrk`✓`, date(at), codeProved ? mrk`with a code` : undefined], ' '),
  );
  const names = given.length === 0 ? mrk`nobody yet` : join(given, ', ');
  return mrk`*Approvals, ${approvalCount(request)}:* ${names}`;
}

/** `@ada asks to put *prod-eu* back to 04:00` and for whom. */
export function askedLine(request: Request): Mrkdwn {
  const behalf = request.onBehalfOf === undefined ? mrk`` : mrk`, on behalf of ${mention(request.onBehalfOf)}`;
  return mrk`${mention(request.requester.id)} asks to put ${bold(request.cluster)} back to how it was ${date(request.dataLoss.snapshotTakenAt)}${behalf}.`;
}

export function reasonText(request: Request): Mrkdwn {
  return join([mrk`*Why:*`, quote(request.reason)], '\n');
}

/** Everything written since the snapshot, in words for people who do not know etcd. */
export function lossText(request: Request): Mrkdwn {
  const { snapshotTakenAt, ms, liveRevision } = request.dataLoss;
  const since = mrk`*What will be lost:* everything written since ${date(snapshotTakenAt)}, ${duration(ms)} before this was asked`;
  if (request.plan.snapshot.revision === '0')
    return mrk`${since}. How much that is can't be told: the revision of the snapshot is unknown.`;
  const gap = liveRevision === undefined ? undefined : BigInt(liveRevision) - BigInt(request.plan.snapshot.revision);
  if (gap === undefined) return mrk`${since}. How much that is can't be told: no member of the cluster answers.`;
  if (gap <= 0n) return mrk`${since}. By its revision, nothing was written since.`;
  return mrk`${since}. That is about ${count(gap)} ${gap === 1n ? mrk`revision` : mrk`revisions`}.`;
}

const MODES: Readonly<Record<RestoreMode, Mrkdwn>> = {
  'all-members': mrk`the snapshot is restored on every member`,
  'one-member': mrk`one member is restored, the others join it with empty data`,
};

/** Of another tool's snapshot it is not always known. */
export function revisionText(revision: string): Mrkdwn {
  return revision === '0' ? mrk`unknown` : plain(revision, 40);
}

/** Which snapshot, and how it is restored. */
export function whatText(request: Request): Mrkdwn {
  const { snapshot, mode } = request.plan;
  const foreign = snapshot.cluster === request.cluster ? undefined : mrk`⚠️ *of cluster ${bold(snapshot.cluster)}*`;
  const facts = join([
    code(snapshot.id),
    foreign,
    mrk`taken ${date(request.dataLoss.snapshotTakenAt)}`,
    bytes(snapshot.size),
    mrk`revision ${revisionText(snapshot.revision)}`,
    mrk`sha256 ${code(snapshot.sha256.slice(0, 12))}`,
  ]);
  return join([mrk`*Snapshot:* ${facts}`, mrk`*Mode:* ${MODES[mode]}`], '\n');
}

/** What a long story has at its end: by whom, and by what all of it can be found. */
export function footLine(request: Request): Mrkdwn {
  const approved = approvals(request).map(({ reviewer }) => mention(reviewer));
  return join([
    mrk`asked by ${mention(request.requester.id)}`,
    approved.length === 0 ? undefined : mrk`approved by ${join(approved, ', ')}`,
    mrk`restore ${code(request.id)}`,
    digestText(request),
  ]);
}

export function digestText(request: Request): Mrkdwn {
  return mrk`plan ${code(request.digest.slice(0, 12))}`;
}

export function reasonOfEnd(request: Request): Mrkdwn | undefined {
  const reason = request.ended?.reason;
  return reason === undefined ? undefined : quote(reason);
}

export function paragraphs(all: readonly (Mrkdwn | undefined)[]): KnownBlock[] {
  return all.flatMap((text) => (text === undefined || text === '' ? [] : [section(text)]));
}

// ── Buttons ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function valueOf(request: Request): RestoreValue {
  return { request: request.id, digest: request.digest };
}

/** What a button looks like that does something with a request; whoever clicks it may still be refused. */
export const BUTTONS = {
  approve: (request: Request): Button =>
    button(
      RESTORE_ACTIONS.approve,
      'Approve',
      request.stepUp === 'totp' ? { ...valueOf(request), code: true } : valueOf(request),
      { style: 'primary' },
    ),
  deny: (request: Request): Button => button(RESTORE_ACTIONS.deny, 'Deny', valueOf(request), { style: 'danger' }),
  'take-back': (request: Request): Button =>
    button(RESTORE_ACTIONS.takeBack, 'Take my approval back', valueOf(request)),
  withdraw: (request: Request): Button =>
    button(RESTORE_ACTIONS.withdraw, 'Withdraw', valueOf(request), {
      confirm: confirmation(
        'Withdraw this request?',
        `Nothing is restored then. To restore ${request.cluster} all the same, somebody has to ask again.`,
        'Withdraw',
      ),
    }),
  plan: (request: Request): Button => button(RESTORE_ACTIONS.plan, 'Show plan', valueOf(request)),
  cancel: (request: Request): Button =>
    button(RESTORE_ACTIONS.stop, 'Stop', valueOf(request), {
      style: 'danger',
      confirm: confirmation(
        'Stop this restore?',
        `Keyturn takes back what was done so far, as soon as that is safe, and ${request.cluster} serves its old data again.`,
        'Stop it',
      ),
    }),
} as const;

/** What each decision would do; the button's own question says the same. */
export const DECISIONS: Readonly<Record<Decision, { readonly label: string; readonly does: string }>> = {
  retry: { label: 'Try again', does: 'what failed is run once more, and the restore goes on from there' },
  'roll-back': { label: 'Roll back', does: 'the old data are put back, and the cluster serves what it had before' },
  'give-up': { label: 'Give up', does: 'Keyturn does nothing more, and people go on by hand' },
};

export function decisionButtons(request: Request): Button[] {
  return (request.waiting?.options ?? []).map((what) => {
    const { label, does } = DECISIONS[what];
    const text = `${does.charAt(0).toUpperCase()}${does.slice(1)}.`;
    const style = what === 'retry' ? ('primary' as const) : ('danger' as const);
    return button(RESTORE_ACTIONS[what], label, valueOf(request), {
      style,
      confirm: confirmation(`${label}?`, text, label, style),
    });
  });
}
