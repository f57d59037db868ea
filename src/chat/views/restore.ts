/** Owns how the one message of a restore looks in each state of its request. Pure. */
import type { KnownBlock } from '@slack/types';
import type { RestoreMessage } from '../../domain/restore-message.ts';
import { approvals, deadlineOf } from '../../domain/restore-request.ts';
import type { RequestState } from '../../domain/restore-request.ts';
import type { PhaseOutline, RestoreSummary } from '../../domain/restore-summary.ts';
import {
  actions,
  bold,
  channelLink,
  code,
  context,
  date,
  fit,
  header,
  join,
  lines,
  mention,
  message,
  mrk,
  plain,
  plural,
} from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { phaseLines, turnLines } from './restore-progress.ts';
import {
  approvalsLine,
  askedLine,
  BUTTONS,
  decisionButtons,
  DECISIONS,
  digestText,
  footLine,
  lossText,
  paragraphs,
  reasonOfEnd,
  reasonText,
  standingLine,
  whatText,
} from './restore-phrases.ts';
import { failedBlocks, restoredBlocks, takenBackBlocks } from './restore-report.ts';

export interface RestoreSurroundings {
  /** The slash command, e.g. `/etcd`. */
  readonly command: string;
  /** The channel that refused the message, which therefore is posted elsewhere. */
  readonly movedFrom: string | undefined;
}

const WARNINGS_SHOWN = 8;
const CHANGES_SHOWN = 8;

export function restoreView(state: RestoreMessage, surroundings: RestoreSurroundings): MessageView {
  const { request } = state;
  if (request === undefined) return withoutRequest(state);
  const view = VIEWS[request.state]({ state, request, ...surroundings });
  const { movedFrom } = surroundings;
  if (movedFrom === undefined) return view;
  const note = mrk`${mention(request.origin.user)}: ${channelLink(movedFrom)} takes no messages that approvers could see, so this is here.`;
  return message(join([view.text, note], '\n'), [...view.blocks, context(note)]);
}

/** Its first events came late: better little than nothing. */
function withoutRequest(state: RestoreMessage): MessageView {
  const line = mrk`⏳ ${bold(state.cluster)} · restore ${code(state.operation)}`;
  return message(line, lines([line, ...turnLines(state)]));
}

interface Scene extends RestoreSurroundings {
  readonly state: RestoreMessage;
  readonly request: RestoreSummary;
}

const VIEWS: Readonly<Record<RequestState, (scene: Scene) => MessageView>> = {
  pending: pendingView,
  approved: approvedView,
  running: runningView,
  'rolling-back': runningView,
  succeeded: (scene) =>
    endView(scene, `✅ ${scene.request.cluster} is restored`, restoredBlocks(scene.state, scene.command)),
  'rolled-back': (scene) =>
    endView(scene, `↩️ ${scene.request.cluster}: the restore was taken back`, takenBackBlocks(scene.state)),
  failed: (scene) =>
    endView(scene, `❌ Restore of ${scene.request.cluster} failed`, failedBlocks(scene.state, scene.command)),
  denied: (scene) => stoppedView(scene, mrk`Ask again when whoever denied it agrees.`),
  withdrawn: (scene) => stoppedView(scene, mrk`Ask again if it is still wanted.`),
  expired: (scene) => stoppedView(scene, mrk`Nothing was restored. Ask again if it is still wanted: ${again(scene)}`),
  void: voidView,
};

function again({ command, request }: Scene): Mrkdwn {
  return code(`${command} restore ${request.cluster}`, 120);
}

// ── Before it runs ───────────────────────────────────────────────────────────────────────────────────────────────────

function pendingView({ request }: Scene): MessageView {
  const missing = Math.max(1, request.threshold - approvals(request).length);
  const wanted = `${missing} ${missing > 1 ? 'approvals' : 'approval'} wanted`;
  const title = request.breakGlass ? '🚨 BREAK-GLASS: restore of' : '🔑 Restore of';
  const call = mrk`${join(request.groups.map(mention), ' ')}, please look: ${askedLine(request)}`;
  return message(join([call, reasonText(request), lossText(request), approvalsLine(request)], '\n'), [
    header(`${title} ${request.cluster} · ${wanted}`),
    ...paragraphs([call, glassText(request), reasonText(request), lossText(request), whatText(request)]),
    ...planBlocks(request),
    ...paragraphs([approvalsLine(request), lapseText(request)]),
    context(
      join([
        mrk`may approve: ${join(request.groups.map(mention), ', ')}, but not who asked`,
        request.stepUp === 'totp' ? mrk`each with a one-time code` : undefined,
        deadlineText(request),
        mrk`restore ${code(request.id)}`,
        digestText(request),
      ]),
    ),
    actions([
      BUTTONS.approve(request),
      BUTTONS.deny(request),
      BUTTONS.withdraw(request),
      ...(request.reviews.length > 0 ? [BUTTONS['take-back'](request)] : []),
      BUTTONS.plan(request),
    ]),
  ]);
}

/** Emergencies are told to everyone, and look like it. */
function glassText(request: RestoreSummary): Mrkdwn | undefined {
  if (!request.breakGlass) return undefined;
  return mrk`🚨 *Break-glass:* this was asked for with only ${plural(request.threshold, 'approval')}. Use it in an emergency alone; it is told in the alerts channel and kept in the audit.`;
}

/** Approvals that were dropped before it began. */
function lapseText(request: RestoreSummary): Mrkdwn | undefined {
  const last = request.history.at(-1);
  if (last?.action !== 'lapse' || last.reason === undefined) return undefined;
  return mrk`⚠️ It could not start: ${plain(last.reason, 300)}. Others have to approve it.`;
}

function deadlineText(request: RestoreSummary): Mrkdwn | undefined {
  const deadline = deadlineOf(request);
  return deadline === undefined ? undefined : mrk`expires ${date(deadline.toISOString())}`;
}

/** The phases with their nodes, and what must be known before. */
function planBlocks({ plan }: RestoreSummary): KnownBlock[] {
  const warnings = plan.warnings.slice(0, WARNINGS_SHOWN).map((text) => mrk`⚠️ ${plain(text, 400)}`);
  const left = plan.warnings.length - warnings.length;
  const more = left > 0 ? [mrk`⚠️ and ${plural(left, 'more warning')}: see the plan`] : [];
  const everywhere = new Set(plan.members.map(({ node }) => node));
  return [
    ...lines([mrk`*The plan, phase by phase:*`, ...plan.phases.map((p, i) => phaseLine(p, i + 1, everywhere))]),
    ...lines([...warnings, ...more]),
  ];
}

function phaseLine({ title, order, steps }: PhaseOutline, number: number, everywhere: ReadonlySet<string>): Mrkdwn {
  const nodes = new Set(steps.map(({ node }) => node));
  const names = [...nodes].map((node) => plain(node, 60));
  const all = nodes.size === everywhere.size && nodes.size > 1;
  const where = {
    together: () => (all ? mrk`all ${nodes.size} nodes` : join(names, ', ')),
    'in-turn': () => join(names, ' → '),
    'last-alone': () => join([join(names.slice(0, -1), ', '), join(names.slice(-1), '')], ' → '),
  }[order]();
  return fit(mrk`${number}. ${plain(title, 80)} · ${where}`, 400);
}

function approvedView({ state, request }: Scene): MessageView {
  const line = join([standingLine(request), approvalsLine(request)], '\n');
  const waits =
    state.waits === undefined
      ? undefined
      : mrk`✋ It can't begin yet: ${plain(`${state.waits.problem.message} ${state.waits.problem.hint}`, 600)}`;
  return message(join([line, waits], '\n'), [
    ...paragraphs([line, waits, reasonText(request), lossText(request), whatText(request)]),
    context(join([footLine(request), deadlineText(request)])),
    actions([BUTTONS['take-back'](request), BUTTONS.deny(request), BUTTONS.withdraw(request), BUTTONS.plan(request)]),
  ]);
}

// ── While it runs ────────────────────────────────────────────────────────────────────────────────────────────────────

function runningView({ state, request }: Scene): MessageView {
  const { waiting, cancel, decision } = request;
  const asked =
    cancel === undefined
      ? undefined
      : mrk`✋ ${mention(cancel.by)} asked to stop it ${date(cancel.at)}; it stops as soon as that is safe.`;
  const decided =
    decision === undefined
      ? undefined
      : mrk`▶️ ${mention(decision.by)} decided ${date(decision.at)}: *${plain(DECISIONS[decision.what].label)}*.`;
  const buttons = [
    ...decisionButtons(request),
    ...(request.state === 'running' && cancel === undefined && waiting === undefined ? [BUTTONS.cancel(request)] : []),
    BUTTONS.plan(request),
  ];
  const title = waiting === undefined ? runningTitle(request) : `✋ Restore of ${request.cluster} waits for a decision`;
  return message(join([standingLine(request), waitingText(request), asked], '\n'), [
    header(title),
    ...paragraphs([waitingText(request)]),
    ...lines([
      mrk`Back to how it was ${date(request.dataLoss.snapshotTakenAt)} · snapshot ${code(request.plan.snapshot.id)}`,
    ]),
    ...lines(phaseLines(state)),
    ...lines(turnLines(state)),
    ...paragraphs([asked, decided]),
    context(footLine(request)),
    actions(buttons),
  ]);
}

function runningTitle({ state, cluster }: RestoreSummary): string {
  return state === 'running' ? `⏳ Restore of ${cluster} is running` : `↩️ Restore of ${cluster} is rolled back`;
}

/** Why it stands still, and what each way out would do. */
export function waitingText({ waiting }: RestoreSummary): Mrkdwn | undefined {
  if (waiting === undefined) return undefined;
  const options = waiting.options.map(
    (what) => mrk`• *${plain(DECISIONS[what].label)}*: ${plain(DECISIONS[what].does)}`,
  );
  return join(
    [
      mrk`*Why it stands still since ${date(waiting.since)}:* ${plain(waiting.reason, 900)}`,
      mrk`*What you can do* (requester, approvers and operators):`,
      ...options,
    ],
    '\n',
  );
}

// ── When it is over ──────────────────────────────────────────────────────────────────────────────────────────────────

function endView({ request }: Scene, title: string, blocks: readonly KnownBlock[]): MessageView {
  const text = join([standingLine(request), endTextOf(blocks)], '\n');
  return message(text, [header(title), ...blocks, context(footLine(request)), actions([BUTTONS.plan(request)])]);
}

/** The first paragraph says what matters most. */
function endTextOf([first]: readonly KnownBlock[]): Mrkdwn | undefined {
  return first?.type === 'section' ? (first.text?.text as Mrkdwn | undefined) : undefined;
}

function stoppedView({ request }: Scene, next: Mrkdwn): MessageView {
  const line = join([standingLine(request), reasonOfEnd(request), next], '\n');
  return message(line, [
    ...paragraphs([line]),
    context(join([askedLine(request), mrk`snapshot ${code(request.plan.snapshot.id)}`, digestText(request)])),
  ]);
}

function voidView(scene: Scene): MessageView {
  const { request } = scene;
  const changes = request.ended?.difference ?? [];
  const shown = changes
    .slice(0, CHANGES_SHOWN)
    .map(({ path, approved, found }) =>
      fit(
        mrk`• ${code(path, 120)}: ${code(approved ?? 'nothing', 160)} was approved, ${code(found ?? 'nothing', 160)} was found`,
        LINE_OF_CHANGE,
      ),
    );
  const left = changes.length - shown.length;
  const next = mrk`Its approvals do not count for another plan. Look at what changed, then ask again: ${again(scene)}`;
  const text = join([standingLine(request), next], '\n');
  return message(text, [
    ...paragraphs([text]),
    ...lines([
      ...(shown.length === 0 ? [] : [mrk`*What changed:*`]),
      ...shown,
      ...(left > 0 ? [mrk`• and ${plural(left, 'more change')}`] : []),
    ]),
    context(footLine(request)),
  ]);
}

const LINE_OF_CHANGE = 500;
