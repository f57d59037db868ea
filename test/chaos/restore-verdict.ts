/** Owns what must hold after a restore that was disturbed, told from the nodes themselves: one line for each breach. */
import type { LocalNode } from '../../deploy/local/nodes/nodes.ts';
import type { JournalEntry, JournalEvent } from '../../src/domain/journal.ts';
import type { Plan } from '../../src/domain/plan.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import type { RestoreStage } from './restore-stage.ts';

/** What a node has kept of one run of a step. */
interface Kept {
  readonly run: string;
  /** Exit code and who ended it; undefined: it has not ended. */
  readonly exit: string | undefined;
}

/** How often the scripts themselves wrote down that they ran, by run. */
type Ran = ReadonlyMap<string, number>;

type Ended = Extract<JournalEvent, { type: 'step.ended' }>;

/**
 * Of a request that has ended, when all nodes are back. Of those that were `gone` the journal can't know all; that nothing
 * ran twice there holds all the same.
 */
export async function breachesOf(
  stage: RestoreStage,
  request: RestoreRequest,
  now: State,
  gone: readonly string[] = [],
): Promise<readonly string[]> {
  const entries = await stage.journal.read(request.id);
  const onNodes = await Promise.all(
    stage.cluster.nodes.map(async (node) => {
      const found = await keptOn(node, request.id);
      return gone.includes(node.name) ? repeats(node.name, found) : disagreements(node.name, entries, found);
    }),
  );
  return [...endBreaches(request), ...onNodes.flat(), ...(await dataBreaches(stage, request, now))];
}

function endBreaches({ id, state }: RestoreRequest): readonly string[] {
  return state === 'succeeded' || state === 'rolled-back' ? [] : [`${id} ended ${state}`];
}

const SCRIPT = String.raw`
cd "/var/lib/keyturn/$1" 2>/dev/null || exit 0
for d in */; do
  [ -e "$d/run" ] || continue
  exit=
  [ ! -e "$d/exit" ] || read -r exit < "$d/exit"
  printf 'kept %s %s\n' "${'$'}{d%/}" "$exit"
done
[ ! -e "/var/log/ran-$1" ] || sed 's/^/ran /' "/var/log/ran-$1"
`;

interface Found {
  readonly kept: readonly Kept[];
  readonly ran: Ran;
}

async function keptOn(node: LocalNode, request: string): Promise<Found> {
  const { stdout } = await node.exec(['sh', '-c', SCRIPT, 'sh', request]);
  const lines = stdout.split('\n').map((line) => line.split(' '));
  const kept = lines.flatMap(([what, run = '', code, by]): Kept[] =>
    what === 'kept' ? [{ run, exit: code === undefined || code === '' ? undefined : `${code} ${by ?? ''}` }] : [],
  );
  const ran = new Map<string, number>();
  for (const [what, run = ''] of lines) if (what === 'ran') ran.set(run, (ran.get(run) ?? 0) + 1);
  return { kept, ran };
}

/** No script ran twice under one id, and no step was done twice under two. */
function repeats(node: string, { kept, ran }: Found): readonly string[] {
  const wholeRuns = kept.filter(({ exit }) => exit === '0 itself').map(({ run }) => stepOf(run));
  return [
    ...[...ran].filter(([, times]) => times > 1).map(([run, times]) => `${node}: ${run} ran ${times} times`),
    ...wholeRuns.filter((step, i) => wholeRuns.indexOf(step) !== i).map((step) => `${node}: ${step} was done twice`),
  ];
}

/** Between the journal and one node: each run that one knows of the other knows, with the same end; nothing ran twice. */
function disagreements(node: string, entries: readonly JournalEntry[], found: Found): readonly string[] {
  const { kept, ran } = found;
  const events = entries.map(({ event }) => event);
  const ends = events.filter((event): event is Ended => event.type === 'step.ended' && event.node === node);
  const say = (what: string): string => `${node}: ${what}`;
  return [
    ...repeats(node, found),
    ...[...ran].filter(([run]) => kept.every((one) => one.run !== run)).map(([run]) => say(`${run} ran unrecorded`)),
    ...kept.filter(({ run }) => !ran.has(run)).map(({ run }) => say(`${run} is recorded, and never ran`)),
    ...kept.flatMap(({ run, exit }) => {
      const end = ends.filter((event) => event.run === run).at(-1);
      if (end === undefined) return [say(`${run} ended "${exit ?? 'not'}", and the journal does not know`)];
      const inJournal = end.code === undefined ? end.outcome : String(end.code);
      const onNode = exit?.split(' ')[0] ?? 'vanished';
      return inJournal === onNode ? [] : [say(`${run} ended ${onNode}, the journal says ${inJournal}`)];
    }),
    ...ends.flatMap(({ run, code }) =>
      code === undefined || kept.some((one) => one.run === run) ? [] : [say(`${run} is in the journal alone`)],
    ),
  ];
}

/** `swap.cp1.undo.2` is of `swap.cp1.undo`. */
function stepOf(run: string): string {
  return run.replace(/\.\d+$/, '');
}

/** What was put after the snapshot: who sees it sees the old data. */
export interface State {
  readonly value: string;
}

/** Changes what the snapshot has, and adds what it has not. */
export async function changeKeys({ cluster }: RestoreStage, n: number): Promise<State> {
  const value = `after-${n}`;
  await cluster.etcdctl(['put', '/chaos/kept', value]);
  await cluster.etcdctl(['put', '/chaos/later', value]);
  return { value };
}

async function dataBreaches(
  { cluster }: RestoreStage,
  request: RestoreRequest,
  now: State,
): Promise<readonly string[]> {
  const isNew = request.state === 'succeeded';
  await cluster.waitHealthy();
  await cluster.waitServing();
  const got = (await cluster.etcdctl(['get', '/chaos/', '--prefix'])).trim().replaceAll('\n', ' ');
  const wanted = isNew ? '/chaos/kept before' : `/chaos/kept ${now.value} /chaos/later ${now.value}`;
  const list = await cluster.etcdctl(['member', 'list']);
  const ids = [...list.matchAll(/^([0-9a-f]+), started, /gm)].map(([, id]) => String(BigInt(`0x${id ?? '0'}`))).sort();
  const planned = idsOf(request.plan, isNew);
  return [
    ...(got === wanted ? [] : [`keys are "${got}" instead of "${wanted}"`]),
    ...(String(ids) === String(planned) ? [] : [`members are ${String(ids)} instead of ${String(planned)}`]),
  ];
}

function idsOf({ members, memberIds }: Plan, isNew: boolean): readonly string[] {
  return isNew ? members.map(({ predictedId }) => predictedId ?? '').sort() : memberIds;
}

/** Old data of restores that were looked at; etcd takes 64 MB for its log each time. */
export async function tidy({ cluster }: RestoreStage): Promise<void> {
  const { dataDir, nodes } = cluster;
  await Promise.all(nodes.map((node) => node.exec(['sh', '-c', `rm -rf ${dataDir}.keyturn-*`])));
}
