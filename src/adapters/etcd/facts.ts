/** Owns how a node is looked at for a restore: as root by the one right that steps have, in three short looks. */
import type { ClusterSpec, ClusterStatus, EtcdOnNode } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import type { StatusAnswer } from '../../domain/etcd-commands.ts';
import type { NodeFacts } from '../../domain/restore/facts.ts';
import { command } from '../../domain/restore/shell.ts';
import type { NodeConnection, NodeSteps, StepRunner } from '../../ports.ts';
import { findEtcd } from './discovery.ts';
import { nodeFacts, whatToLookAt } from './node-facts.ts';
import { parsePrograms, programsScript } from './programs.ts';
import { parseSurvey, surveyScript } from './survey.ts';

/** Programs are run and hashed: a disk that is slow takes its time. */
const LOOK_MS = 60_000;

/** Scripts that only look, on this node, for this cluster. */
export function askOn(steps: StepRunner, connection: NodeConnection, cluster: ClusterSpec): NodeSteps['ask'] {
  const own = steps.on(connection, { cluster: cluster.name, request: 'facts', token: 0 });
  return (script, options) => own.ask(script, options);
}

/** The same connection, on which every command runs as root, by the right to run steps. */
export function asRoot(connection: NodeConnection, ask: NodeSteps['ask']): NodeConnection {
  return {
    ...connection,
    exec: (argv, { timeoutMs = LOOK_MS, signal } = {}) =>
      ask(command(argv), { timeoutMs, ...(signal === undefined ? {} : { signal }) }),
  };
}

export interface NodeToKnow {
  readonly connection: NodeConnection;
  readonly ask: NodeSteps['ask'];
  /** Which certificates of etcd's open it to a client. */
  readonly tls: EtcdOnNode['tls'];
  /** What its etcd says of itself; undefined when it does not answer. */
  readonly answer: StatusAnswer | undefined;
}

/** Throws node.*, ssh.*, plan.unsupported (this node can't be told of, and what to do), or the signal's reason. */
export async function readFacts(
  { connection, ask, tls, answer }: NodeToKnow,
  cluster: { readonly spec: ClusterSpec; readonly status: ClusterStatus | undefined },
  signal: AbortSignal | undefined,
): Promise<NodeFacts> {
  const look = async (script: string): Promise<Buffer> => {
    const { code, stdout, stderr } = await ask(script, { timeoutMs: LOOK_MS, ...(signal && { signal }) });
    if (code === 0) return stdout;
    throw failed(connection.node.name, stderr.trim().split('\n').at(-1) ?? `exit code ${code ?? 'unknown'}`);
  };
  const found = await findEtcd(asRoot(connection, ask), signal);
  const { pid, supervisor } = found.etcd;
  const unit = supervisor.kind === 'systemd' ? supervisor.unit : undefined;
  const survey = parseSurvey(await look(surveyScript(pid, unit)));
  if (pid !== undefined && survey.etcd === undefined) {
    throw failed(connection.node.name, 'etcd ended in the middle of it');
  }
  const looks = { found, survey, answer, status: cluster.status, policy: cluster.spec.restore };
  const seen = parsePrograms(await look(programsScript(whatToLookAt(looks))));
  return nodeFacts(looks, seen, tls);
}

function failed(node: string, why: string): KeyturnError {
  return new KeyturnError('node.command-failed', `${node} could not be looked at: ${why}.`, {
    hint: `Ask again; if it stays so, see that ${node} has coreutils, grep and sed, and that etcd does not keep restarting.`,
  });
}
