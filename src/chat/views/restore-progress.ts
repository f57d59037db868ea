/** Owns how the way of a running restore looks: a line a phase, a line a node and phase, and where it turned. Pure. */
import { phaseMs, phaseStanding, standingOf } from '../../domain/restore-message.ts';
import type { RestoreMessage, StepMark, StepStanding } from '../../domain/restore-message.ts';
import type { PhaseOutline } from '../../domain/restore-summary.ts';
import { bold, bytes, code, date, duration, fit, join, mrk, plain, plural } from '../blocks.ts';
import type { Mrkdwn } from '../blocks.ts';

const WORDS: Readonly<Record<StepStanding, { readonly sign: Mrkdwn; readonly word: Mrkdwn }>> = {
  waiting: { sign: mrk`▫️`, word: mrk`waits` },
  running: { sign: mrk`⏳`, word: mrk`running` },
  done: { sign: mrk`✅`, word: mrk`done` },
  failed: { sign: mrk`❌`, word: mrk`failed` },
  undoing: { sign: mrk`↩️`, word: mrk`being undone` },
  undone: { sign: mrk`↩️`, word: mrk`undone` },
  'not-undone': { sign: mrk`❌`, word: mrk`could not be undone` },
};
const IN_ORDER: readonly StepStanding[] = ['failed', 'not-undone', 'running', 'undoing', 'done', 'undone', 'waiting'];
const LINE_MAX = 420;
/** More lines than a message holds: then phases that are over have one line each. */
const MOST_STEP_LINES = 90;

function phasesOf({ request }: RestoreMessage): readonly PhaseOutline[] {
  return request?.plan.phases ?? [];
}

/** `⏳ 2. Fetch the snapshot · running: cp2 (48 %) · done: cp1`. */
export function phaseLines(state: RestoreMessage): Mrkdwn[] {
  return phasesOf(state).flatMap((phase, i) => linesOf(state, phase, i + 1));
}

/** The same once it is over: what was never begun is told in one line. */
export function finalPhaseLines(state: RestoreMessage): Mrkdwn[] {
  const phases = phasesOf(state);
  const isBegun = (phase: PhaseOutline): boolean => phaseStanding(state, phase) !== 'waiting';
  const left = phases.filter((phase) => !isBegun(phase)).length;
  return [
    ...phases.flatMap((phase, i) => (isBegun(phase) ? linesOf(state, phase, i + 1) : [])),
    ...(left === 0 ? [] : [mrk`▫️ ${plural(left, 'phase was', 'phases were')} not begun`]),
  ];
}

function linesOf(state: RestoreMessage, phase: PhaseOutline, number: number): Mrkdwn[] {
  return [
    phaseLine(state, phase, number),
    ...phase.steps.flatMap(({ id, node }) => troubleLine(node, state.steps[id])),
  ];
}

function phaseLine(state: RestoreMessage, phase: PhaseOutline, number: number): Mrkdwn {
  const standing = phaseStanding(state, phase);
  const ms = phaseMs(state, phase);
  const title = mrk`${WORDS[standing].sign} ${number}. ${plain(phase.title, 80)}`;
  const same = phase.steps.every(({ id }) => standingOf(state.steps[id]) === standing);
  const time = ms === undefined ? undefined : duration(ms);
  if (standing === 'waiting' && same) return join([title, WORDS.waiting.word]);
  return fit(join([title, ...groups(state, phase), time]), LINE_MAX);
}

/** Nodes by how they stand, the most urgent first. */
function groups(state: RestoreMessage, { steps }: PhaseOutline): Mrkdwn[] {
  return IN_ORDER.flatMap((standing) => {
    const nodes = steps.filter(({ id }) => standingOf(state.steps[id]) === standing);
    if (nodes.length === 0) return [];
    const names = nodes.map(({ id, node }) => join([plain(node, 60), share(standing, state.steps[id])], ' '));
    return [mrk`${WORDS[standing].word}: ${join(names, ', ')}`];
  });
}

/** How far a fetch is, while it runs. */
function share(standing: StepStanding, mark: StepMark | undefined): Mrkdwn | undefined {
  const fetched = mark?.bytes;
  if (standing !== 'running' || fetched === undefined || fetched.total <= 0) return undefined;
  const percent = Math.min(99, Math.floor((fetched.done / fetched.total) * 100));
  return mrk`(${percent} %, ${bytes(fetched.done)} of ${bytes(fetched.total)})`;
}

function troubleLine(node: string, mark: StepMark | undefined): Mrkdwn[] {
  const standing = standingOf(mark);
  if (mark?.ended === undefined || (standing !== 'failed' && standing !== 'not-undone')) return [];
  const { problem, code: exit, outcome } = mark.ended;
  const how =
    outcome === 'vanished' ? mrk`it was cut off` : exit === undefined ? mrk`it failed` : mrk`exit code ${exit}`;
  const why = problem === undefined ? how : plain(`${problem.message} ${problem.hint}`, 300);
  return [fit(mrk`      ${code(node)}: ${why}`, LINE_MAX)];
}

/** `↩️ 06:40 · rolled back from here: why`, oldest first. */
export function turnLines({ turns }: RestoreMessage): Mrkdwn[] {
  return turns.map(({ at, to, reason }) => fit(mrk`${TURNS[to]} ${date(at)}: ${plain(reason, 400)}`, 600));
}

const TURNS: Readonly<Record<RestoreMessage['turns'][number]['to'], Mrkdwn>> = {
  undo: mrk`↩️ *It is undone*, since`,
  'roll-back': mrk`↩️ *It is rolled back*, since`,
  wait: mrk`✋ *It waited for a decision*, since`,
  forward: mrk`▶️ *It goes on*, since`,
};

/** A heading a phase, and a line for each of its nodes. */
export function stepLines(state: RestoreMessage): Mrkdwn[] {
  const phases = phasesOf(state);
  const all = phases.reduce((sum, { steps }) => sum + steps.length + 1, 0);
  return phases.flatMap((phase, i) => {
    const standing = phaseStanding(state, phase);
    const isQuiet = standing === 'done' || standing === 'waiting' || standing === 'undone';
    if (all > MOST_STEP_LINES && isQuiet) {
      return [join([heading(phase, i + 1), WORDS[standing].word, plural(phase.steps.length, 'node')])];
    }
    return [heading(phase, i + 1), ...phase.steps.map(({ id, node }) => stepLine(node, state.steps[id]))];
  });
}

function heading({ title }: PhaseOutline, number: number): Mrkdwn {
  return bold(`${number}. ${title}`, 100);
}

/** `      ✅ cp1 · done · 1.2 s`. */
function stepLine(node: string, mark: StepMark | undefined): Mrkdwn {
  const standing = standingOf(mark);
  const { sign, word } = WORDS[standing];
  const over = standing === 'done' || standing === 'undone' ? mark?.ended : undefined;
  const exit = mark?.ended?.code;
  const isBad = standing === 'failed' || standing === 'not-undone';
  return join([
    mrk`      ${sign} ${plain(node, 60)}`,
    over?.outcome === 'was-done' ? mrk`done already` : word,
    share(standing, mark),
    over === undefined ? undefined : duration(over.durationMs),
    isBad && exit !== undefined ? mrk`exit code ${exit}` : undefined,
  ]);
}
