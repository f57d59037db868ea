/** Owns how the end of a restore that ran is told: what came of it, how long it took, where the old data lie. Pure. */
import type { KnownBlock } from '@slack/types';
import type { RestoreMessage } from '../../domain/restore-message.ts';
import type { RestoreReport } from '../../domain/restore-report.ts';
import { code, date, duration, fit, join, lines, mention, mrk, plain, plural } from '../blocks.ts';
import type { Mrkdwn } from '../blocks.ts';
import { finalPhaseLines, turnLines } from './restore-progress.ts';
import { paragraphs, reasonOfEnd } from './restore-phrases.ts';

const LINES_SHOWN = 20;

export function restoredBlocks(state: RestoreMessage, command: string): KnownBlock[] {
  const report = state.ended?.report;
  return [
    ...paragraphs([restoredText(state), timesText(report)]),
    ...lines(listed(mrk`*What was seen to hold:*`, mrk`•`, report?.verified ?? [])),
    ...lines(listed(undefined, mrk`⚠️`, report?.warnings ?? [])),
    ...lines(phaseTimes(report)),
    ...lines(turnLines(state)),
    ...lines(oldDataLines(state, command)),
    ...paragraphs([auditText(state, command)]),
  ];
}

export function takenBackBlocks(state: RestoreMessage): KnownBlock[] {
  const report = state.ended?.report;
  const words =
    report?.outcome === 'undone'
      ? mrk`*Nothing was changed:* the data had not been swapped yet, and what was begun is undone. The cluster serves what it had.`
      : mrk`*The old data serve again:* the restore was rolled back.`;
  return [
    ...paragraphs([words, whyText(state), timesText(report)]),
    ...lines(listed(mrk`*What was seen to hold:*`, mrk`•`, report?.verified ?? [])),
    ...lines(listed(undefined, mrk`⚠️`, report?.warnings ?? [])),
    ...lines(finalPhaseLines(state)),
    ...lines(turnLines(state)),
  ];
}

/** What to do comes first: nobody reads to the end at 3 a.m. */
export function failedBlocks(state: RestoreMessage, command: string): KnownBlock[] {
  const report = state.ended?.report;
  const old = oldDataPaths(report);
  const next = [
    mrk`*What to do now:*`,
    mrk`1. Look at the cluster: ${code(`${command} status ${state.cluster}`, 120)}`,
    mrk`2. See what ran and what it printed: ${code(`${command} audit ${state.operation}`, 120)}`,
    old.length > 0
      ? mrk`3. The old data are not lost; below it says where they lie. The plan's own undo scripts put them back (button “Show plan”).`
      : mrk`3. Take back by hand what the plan did, with its own undo scripts (button “Show plan”).`,
  ];
  return [
    ...paragraphs([
      join([mrk`*It is not known whether the cluster serves, with old data or with new.*`, ...next], '\n'),
      whyText(state),
    ]),
    ...lines(finalPhaseLines(state)),
    ...lines(turnLines(state)),
    ...lines(old),
    ...paragraphs([timesText(report)]),
    ...lines(listed(undefined, mrk`⚠️`, report?.warnings ?? [])),
  ];
}

// ── Parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `prod-eu is back to how it was 04:00 · downtime 42 s · recovered in 1 min 40 s`. */
export function restoredText({ request, cluster, ended }: RestoreMessage): Mrkdwn {
  const { downtimeMs, recoveryMs } = ended?.report ?? {};
  return join([
    request === undefined
      ? mrk`${plain(cluster)} is restored`
      : mrk`*Back to how it was ${date(request.dataLoss.snapshotTakenAt)}*`,
    downtimeMs === undefined ? undefined : mrk`downtime *${duration(downtimeMs)}*`,
    recoveryMs === undefined ? undefined : mrk`recovered in *${duration(recoveryMs)}*`,
  ]);
}

function timesText(report: RestoreReport | undefined): Mrkdwn | undefined {
  if (report === undefined) return undefined;
  return mrk`Began ${date(report.startedAt)}, ended ${date(report.endedAt)}.`;
}

/** Why it did not go as planned: the report's words, or those of the request. */
export function whyText({ request, ended }: RestoreMessage): Mrkdwn | undefined {
  const reason = ended?.report.reason;
  if (reason !== undefined) return mrk`*Why:* ${plain(reason, 1200)}`;
  const ofRequest = request === undefined ? undefined : reasonOfEnd(request);
  return ofRequest === undefined ? undefined : join([mrk`*Why:*`, ofRequest], '\n');
}

function listed(title: Mrkdwn | undefined, mark: Mrkdwn, texts: readonly string[]): Mrkdwn[] {
  if (texts.length === 0) return [];
  const shown = texts.slice(0, LINES_SHOWN).map((text) => mrk`${mark} ${plain(text, 400)}`);
  const left = texts.length - shown.length;
  return [...(title === undefined ? [] : [title]), ...shown, ...(left > 0 ? [mrk`${mark} and ${left} more`] : [])];
}

function phaseTimes(report: RestoreReport | undefined): Mrkdwn[] {
  if (report === undefined || report.phases.length === 0) return [];
  return [
    mrk`*How long each phase took:*`,
    ...report.phases.map(({ title, startedAt, endedAt }, i) => {
      const took =
        endedAt === undefined ? mrk`cut off` : duration(Math.max(0, Date.parse(endedAt) - Date.parse(startedAt)));
      return mrk`${i + 1}. ${plain(title, 80)} · ${took}`;
    }),
  ];
}

function oldDataPaths(report: RestoreReport | undefined): Mrkdwn[] {
  const nodes = (report?.oldData ?? []).filter(({ paths }) => paths.length > 0);
  if (nodes.length === 0) return [];
  return [mrk`*Where the old data lie:*`, ...nodes.slice(0, LINES_SHOWN).map(pathsLine)];
}

export function pathsLine({ node, paths }: { readonly node: string; readonly paths: readonly string[] }): Mrkdwn {
  return fit(
    mrk`• ${plain(node, 60)}: ${join(
      paths.slice(0, 8).map((path) => code(path, 200)),
      ', ',
    )}`,
    900,
  );
}

/** Until they are removed they take room; afterwards it says by whom. */
function oldDataLines(state: RestoreMessage, command: string): Mrkdwn[] {
  const { cleaned } = state;
  const paths = oldDataPaths(state.ended?.report);
  if (cleaned !== undefined) return cleanedLines(cleaned);
  if (paths.length === 0) return [];
  const how = mrk`They stay as the way back. Once a newer restore has succeeded: ${code(`${command} cleanup ${state.operation}`, 120)}`;
  return [...paths, how];
}

/** What a clean-up removed, and where something is left. */
export function cleanedLines({ at, by, removed, failed }: NonNullable<RestoreMessage['cleaned']>): Mrkdwn[] {
  const line = mrk`🧹 The old data were removed from ${plural(removed.length, 'node')} ${date(at)}, asked for by ${mention(by)}.`;
  const left = failed.map(({ node, problem }) =>
    fit(mrk`⚠️ On ${code(node)} something is left: ${plain(`${problem.message} ${problem.hint}`, 500)}`, 700),
  );
  return [line, ...left];
}

function auditText({ operation }: RestoreMessage, command: string): Mrkdwn {
  return mrk`What ran, where, and what it printed: ${code(`${command} audit ${operation}`, 120)}`;
}
