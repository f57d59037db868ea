/** Owns what whole restores are tried on: one cluster of real machines, Redis, a store, and hands that work on it. */
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startNodes, type ClusterOptions, type LocalCluster } from '../../deploy/local/nodes/nodes.ts';
import { writeAgeKey } from '../../deploy/local/parts/age-key.ts';
import { cloneDir, defaultCacheDir } from '../../deploy/local/parts/host.ts';
import { ensureRootfs } from '../../deploy/local/parts/rootfs.ts';
import { startRedis } from '../../deploy/local/services/redis.ts';
import type { ClusterSpec, NodeSpec, SshLogin } from '../../src/domain/cluster.ts';
import type { KeyturnEvent, RestoreEvent } from '../../src/domain/event.ts';
import type { PhaseName } from '../../src/domain/plan.ts';
import type { RestorePolicy } from '../../src/domain/restore-policy.ts';
import type { Order } from './restore-hand.ts';
import { clusterSpec, nodeSpec, restorePolicy } from './specs.ts';

export interface Hand {
  /** What it answered, from JSON. Throws with what it printed when it failed or was killed. */
  readonly answer: Promise<unknown>;
  kill9(): void;
}

type Change = Partial<Pick<Order, 'request' | 'mode' | 'patienceMs'>>;

export interface RestoreStage {
  readonly cluster: LocalCluster;
  readonly spec: ClusterSpec;
  begin(does: Order['does'], change?: Change): Hand;
  /** The answer of a hand that is waited for. */
  hand<T>(does: Order['does'], change?: Change): Promise<T>;
  events(): Promise<readonly RestoreEvent[]>;
  /** Resolves when a step of this phase of this restore was begun; throws after a minute. */
  begun(request: string, phase: PhaseName): Promise<void>;
  stop(): Promise<void>;
}

export async function restoreStage(
  options: ClusterOptions,
  policy: Partial<RestorePolicy> = {},
  { isEncoded = false } = {},
): Promise<RestoreStage> {
  const dir = await mkdtemp(join(tmpdir(), 'kt-restore-'));
  const nodes = await startNodes({ instanceDir: join(dir, 'nodes'), clusters: [options] });
  const rootfs = await ensureRootfs('services', { cacheDir: defaultCacheDir() });
  const redis = await startRedis({ dir: join(dir, 'redis'), rootfs, listen: 'unix', durable: false });
  const key = isEncoded ? await writeAgeKey(join(dir, 'age-key')) : undefined;
  const folder = join(dir, 'store');
  await mkdir(folder);

  const cluster = nodes.cluster(options.name);
  const login = (hostKey: string): SshLogin => ({
    user: nodes.ssh.user,
    port: 22,
    hostKeys: [hostKey],
    auth: { kind: 'key', keyFile: nodes.ssh.keyFile },
  });
  const { bastion } = cluster;
  const bastions = bastion && [{ name: 'bastion', address: bastion.address, ssh: login(bastion.hostKey) }];
  const via = bastion === undefined ? {} : { via: 'bastion' };
  const specs = cluster.nodes.map(({ name, address, hostKey }): NodeSpec =>
    nodeSpec(name, { address, ssh: { ...login(hostKey), ...via } }),
  );
  const spec: ClusterSpec = {
    ...clusterSpec(specs),
    name: options.name,
    backup: { ...clusterSpec(specs).backup, stores: ['folder'], compression: isEncoded ? 'zstd' : 'none' },
    restore: restorePolicy(policy),
  };
  const eventsFile = join(dir, 'events.jsonl');

  const begin: RestoreStage['begin'] = (does, change = {}) => {
    const order: Order = {
      does,
      cluster: spec,
      bastions: bastions ?? [],
      redis: redis.url,
      folder,
      events: eventsFile,
      request: 'r1',
      mode: 'all-members',
      patienceMs: 120_000,
      encryption: key === undefined ? {} : { recipients: [key.recipient], identityFiles: [key.file] },
      ...change,
    };
    const program = fileURLToPath(new URL('restore-hand.ts', import.meta.url));
    const argv = [process.execPath, '--import', 'tsx', program, JSON.stringify(order)];
    const child = nodes.execInHub(argv, { stdio: ['ignore', 'pipe', 'pipe'], cwd: cloneDir });
    const [out, err] = [child.stdout, child.stderr];
    if (out === null || err === null) throw new Error('The hand has no output.');
    const answer = Promise.all([text(out), text(err), once(child, 'exit')]).then(([printed, complained, [code]]) => {
      if (code !== 0) throw new Error(`The hand ended with ${String(code)}: ${complained}`);
      return JSON.parse(printed.trim().split('\n').at(-1) ?? '') as unknown;
    });
    return { answer, kill9: () => void child.kill('SIGKILL') };
  };

  const events = async (): Promise<readonly RestoreEvent[]> => {
    const lines = (await readFile(eventsFile, 'utf8').catch(() => '')).split('\n').filter(Boolean);
    const all = lines.map((line) => JSON.parse(line) as KeyturnEvent);
    return all.filter((event): event is RestoreEvent => event.type.startsWith('restore.'));
  };

  return {
    cluster,
    spec,
    begin,
    events,
    async begun(request, phase) {
      for (const until = Date.now() + 60_000; Date.now() < until;) {
        const isBegun = (event: RestoreEvent): boolean =>
          event.type === 'restore.step-begun' && event.operation === request && event.phase === phase;
        if ((await events()).some(isBegun)) return;
        await sleep(20);
      }
      throw new Error(`${phase} of ${request} was not begun.`);
    },
    hand: async <T>(...args: Parameters<typeof begin>) => (await begin(...args).answer) as T,
    async stop() {
      await redis.stop();
      await nodes.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
