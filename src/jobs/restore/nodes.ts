/** Owns the logins of one restore: one a node, made anew when it is lost, with patience that ends. */
import type { NodeSpec } from '../../domain/cluster.ts';
import { KeyturnError, type ErrorCode } from '../../domain/error.ts';
import type { NodeConnection, NodeSteps, RestoreOnNode } from '../../ports.ts';
import type { RestoreDeps } from './deps.ts';

export interface Link {
  readonly connection: NodeConnection;
  readonly steps: NodeSteps;
}

/** A node that was not reached for so long in a row is given up, since the cluster may be standing still. */
const PATIENCE_MS = 120_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;

/** What passes by itself: the login is lost, or the node is busy for a moment. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'ssh.unreachable',
  'ssh.lost',
  'ssh.forward-refused',
  'node.command-failed',
  'node.step-refused',
]);

type NodesDeps = Pick<RestoreDeps, 'shell' | 'steps' | 'clock' | 'log' | 'patienceMs'>;

export class Nodes {
  readonly #specs: ReadonlyMap<string, NodeSpec>;
  readonly #restore: RestoreOnNode;
  readonly #deps: NodesDeps;
  readonly #signal: AbortSignal;
  readonly #links = new Map<string, Promise<Link>>();
  readonly #gone = new Set<string>();

  constructor(nodes: readonly NodeSpec[], restore: RestoreOnNode, deps: NodesDeps, signal: AbortSignal) {
    this.#specs = new Map(nodes.map((node) => [node.name, node]));
    this.#restore = restore;
    this.#deps = deps;
    this.#signal = signal;
  }

  /**
   * Does something that is safe to do twice, again until it is answered; on a node that was given up before only once.
   * Throws what it throws, when that does not pass or not in time, and the signal's reason.
   */
  async on<T>(node: string, act: (link: Link) => Promise<T>): Promise<T> {
    let since: number | undefined;
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      try {
        const answer = await this.once(node, act);
        this.#gone.delete(node);
        return answer;
      } catch (error) {
        this.#signal.throwIfAborted();
        if (!(error instanceof KeyturnError) || !PASSING.has(error.code)) throw error;
        const now = this.#deps.clock.now().getTime();
        since ??= now;
        if (now - since >= (this.#gone.has(node) ? 0 : (this.#deps.patienceMs ?? PATIENCE_MS))) {
          this.#gone.add(node);
          throw error;
        }
        this.#deps.log.warn({ err: error, node, operation: this.#restore.request }, 'a node is tried again');
        await this.#deps.clock.sleep(waitMs, this.#signal);
      }
    }
  }

  /** The same, but only once. */
  async once<T>(node: string, act: (link: Link) => Promise<T>): Promise<T> {
    this.#signal.throwIfAborted();
    const linking = this.#links.get(node) ?? this.#connect(node);
    try {
      return await act(await linking);
    } catch (error) {
      if (error instanceof KeyturnError && error.code.startsWith('ssh.')) await this.#drop(node, linking);
      throw error;
    }
  }

  /** Never throws. */
  async close(): Promise<void> {
    await Promise.all([...this.#links].map(([node, linking]) => this.#drop(node, linking)));
  }

  #connect(node: string): Promise<Link> {
    const linking = this.#link(node);
    this.#links.set(node, linking);
    return linking;
  }

  async #link(node: string): Promise<Link> {
    const spec = this.#specs.get(node);
    if (spec === undefined) {
      throw new KeyturnError('plan.node-missing', `${node} is not in the configuration any more.`, {
        hint: `Put ${node} back into the configuration.`,
      });
    }
    const connection = await this.#deps.shell.connect(spec, this.#signal);
    return { connection, steps: this.#deps.steps.on(connection, this.#restore) };
  }

  /** Others may be using it: they find it closed, and make another. */
  async #drop(node: string, linking: Promise<Link>): Promise<void> {
    if (this.#links.get(node) === linking) this.#links.delete(node);
    await linking.then(({ connection }) => connection.close()).catch(() => undefined);
  }
}
