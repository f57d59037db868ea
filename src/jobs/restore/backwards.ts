/**
 * Owns how a restore is taken back: phase by phase from the last to the first with a barrier after each, until the old
 * cluster is seen to serve. Before the swap that is an undo, after it a roll-back.
 */
import type { PhaseName, Step } from '../../domain/plan.ts';
import { isTouched, mayLeaveBehind, stillToUndo } from '../../domain/restore-course.ts';
import { leftBehindWords, notBackWords, stuckWords } from '../../domain/restore-words.ts';
import type { Execution } from './execution.ts';
import { tellRollBack } from './decisions.ts';
import { proveHealthy, proveServing } from './proofs.ts';
import type { Task } from './record.ts';
import { endOpenRun, runScript, sideBySide, type Failure } from './steps.ts';

/** Journals how it went on: ended, or waiting for people. */
export async function takeBack(x: Execution): Promise<void> {
  const { direction, turnedBecause } = x.record.course;
  if (direction === 'roll-back') await tellRollBack(x, turnedBecause ?? '');
  const left = await undoPhases(x);
  if (left === 'stuck') return;
  const failures = await proveOld(x, left);
  const warnings = [...left.values()].map((failure) =>
    leftBehindWords(failure, stillToUndo(x.plan, x.record.course, failure.node)),
  );
  if (failures.length > 0) return x.record.turned('wait', notBackWords(failures, warnings));
  await x.record.proven('nothing', [], warnings);
  await x.record.end(direction === 'undo' ? 'undone' : 'rolled-back', turnedBecause);
}

/**
 * The nodes that could not be taken back, where the others may serve without them. After the swap nothing more is done on
 * such a node: its old etcd is not started while its new data are in place.
 */
async function undoPhases(x: Execution): Promise<ReadonlyMap<string, Failure> | 'stuck'> {
  const left = new Map<string, Failure>();
  const isRollBack = x.record.course.direction === 'roll-back';
  for (const phase of [...x.plan.phases].reverse()) {
    const steps = phase.steps.filter(({ node }) => !isPassedOver(left.get(node), isRollBack));
    const tasks = steps.map((step): Task => ({ phase: phase.name, step, doing: 'undo' }));
    const failures = await sideBySide(
      x,
      tasks.map((task) => () => undoStep(x, task)),
    );
    for (const failure of failures) left.set(failure.node, failure);
    const mayGoOn = !isRollBack || !DECISIVE.has(phase.name) || mayLeaveBehind(x.plan, [...left.keys()]);
    if (!mayGoOn) {
      const byHand = new Map([...left.keys()].map((node) => [node, stillToUndo(x.plan, x.record.course, node)]));
      await x.record.turned('wait', stuckWords([...left.values()], byHand));
      return 'stuck';
    }
  }
  return left;
}

/** What can't be reached is not waited for in every phase: the others stand still meanwhile. */
function isPassedOver(failure: Failure | undefined, isRollBack: boolean): boolean {
  return failure !== undefined && (isRollBack || failure.problem.code.startsWith('ssh.'));
}

/** Phases of which not one node may fail unnoticed in a roll-back: what follows starts etcd on old data, or relies on it. */
const DECISIVE: ReadonlySet<PhaseName> = new Set([
  'start-apiservers',
  'join-members',
  'start-etcd',
  'swap',
  'stop-etcd',
]);

/** What was never begun is not taken back. */
async function undoStep(x: Execution, task: Task): Promise<Failure | undefined> {
  const { step } = task;
  if (x.record.course.standing(step.id, 'do').begun === 0) return undefined;
  const stillRuns = await endOpenRun(x, { ...task, doing: 'do' });
  if (stillRuns !== undefined || step.undo === undefined) return stillRuns;
  return runScript(x, task, step.undo);
}

/** Only what was stopped has to be seen again, and only where the old cluster had answered before. */
async function proveOld(x: Execution, left: ReadonlyMap<string, Failure>): Promise<readonly Failure[]> {
  const { plan } = x;
  const course = x.record.course;
  const [etcd, api] = [isTouched(plan, course, 'stop-etcd'), isTouched(plan, course, 'stop-apiservers')];
  if (!etcd && !api) return [];
  if (plan.clusterId === undefined) {
    await x.record.proven(
      'nothing',
      [],
      ['The cluster did not answer before the restore either, so nothing was proven.'],
    );
    return [];
  }
  const healthy = etcd ? await prove(x, 'prove-healthy', left, proveHealthy) : [];
  if (healthy.length > 0) return healthy;
  const serving = api ? await prove(x, 'prove-serving', left, proveServing) : [];
  const isServing = serving.length < stepsHere(x, 'prove-serving', left).length;
  if (serving.length > 0 && isServing) {
    await x.record.proven(
      'nothing',
      [],
      serving.map(({ problem }) => problem.message),
    );
    return [];
  }
  return serving;
}

async function prove(
  x: Execution,
  name: PhaseName,
  left: ReadonlyMap<string, Failure>,
  how: typeof proveHealthy,
): Promise<readonly Failure[]> {
  const phase = x.plan.phases.find((each) => each.name === name);
  if (phase === undefined) return [];
  const steps = stepsHere(x, name, left);
  return steps.length === 0 ? [...left.values()] : how(x, { phase, doing: 'undo', steps });
}

function stepsHere(x: Execution, name: PhaseName, left: ReadonlyMap<string, Failure>): readonly Step[] {
  const steps = x.plan.phases.find((phase) => phase.name === name)?.steps ?? [];
  return steps.filter(({ node }) => !left.has(node));
}
