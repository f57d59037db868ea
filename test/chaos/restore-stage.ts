/** Owns what chaos with restores is played on: three real nodes, a snapshot, and bots that come and go around one queue. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tsxArgv } from '../../deploy/local/bot.ts';
import type { Layout, LayoutName } from '../../deploy/local/nodes/layouts.ts';
import { startNodes, type LocalCluster } from '../../deploy/local/nodes/nodes.ts';
import { cloneDir } from '../../deploy/local/parts/host.ts';
import { redisConnections } from '../../src/adapters/redis/connection.ts';
import { redisRestoreJournal } from '../../src/adapters/redis/journal.ts';
import { redisRestoreRequests } from '../../src/adapters/redis/restore-requests.ts';
import type { ClusterSpec } from '../../src/domain/cluster.ts';
import { isOpen, type Decision, type RestoreRequest } from '../../src/domain/restore-request.ts';
import type { RestoreJournal } from '../../src/ports.ts';
import { silentLog } from '../jobs/world.ts';
import { eventually } from '../support/bot.ts';
import { localEnv } from '../support/local-env.ts';
import { clusterSpec, nodeSpec } from '../support/specs.ts';
import type { BotSettings, Call, Orders } from './restore-bot.ts';

export interface RestoreBot {
  readonly process: ChildProcess;
  readonly isAlive: boolean;
  log(): Promise<string>;
  stop(): Promise<void>;
}

export interface RestoreStage {
  readonly cluster: LocalCluster;
  /** The store's folder. */
  readonly store: string;
  readonly journal: RestoreJournal;
  /** A worker; resolves when it is up. */
  startWorker(): Promise<RestoreBot>;
  /** Asks for a restore of the snapshot and approves it twice, with orders for whoever carries it out. */
  ask(orders?: Orders): Promise<RestoreRequest>;
  read(request: string): Promise<RestoreRequest>;
  /** Resolves when it stands still where its orders say, and answers how it is told to go on. */
  stands(request: string): Promise<() => Promise<void>>;
  /** How many processes have died for it as ordered. */
  deaths(request: string): Promise<number>;
  /** Resolves when it has ended, or waits for a decision; does `meanwhile` between the looks. */
  settled(request: string, timeoutMs: number, meanwhile?: () => Promise<void>): Promise<RestoreRequest>;
  decide(request: string, what: Decision): Promise<void>;
  stop(): Promise<void>;
}

const NODES = ['cp1', 'cp2', 'cp3'];
export const CLUSTER = 'prod';

/** `change`: what is other than in the layout. */
export async function startStage(layout: LayoutName, change: Partial<Layout> = {}): Promise<RestoreStage> {
  const dir = await mkdtemp(join(tmpdir(), 'kt-chaos-'));
  const cluster = { name: CLUSTER, etcdVersion: '3.5', layout, nodes: NODES, ...change } as const;
  const nodes = await startNodes({ instanceDir: join(dir, 'nodes'), clusters: [cluster] });
  const place = (name: string): string => join(dir, name);
  for (const name of ['store', 'audit', 'orders']) await mkdir(place(name), { mode: 0o700 });
  const redis = { url: localEnv().redis.url, prefix: `chaos-${process.pid}-${Date.now()}` };
  const connections = redisConnections({ ...redis, password: undefined, log: silentLog });
  const requests = redisRestoreRequests(connections);
  const up = nodes.cluster(CLUSTER);
  const settings: BotSettings = {
    role: 'worker',
    cluster: specOf(up, nodes.ssh),
    redis,
    store: place('store'),
    audit: place('audit'),
    orders: place('orders'),
  };
  const bots: RestoreBot[] = [];
  let started = 0;
  const start = async (change: Partial<BotSettings>): Promise<RestoreBot> => {
    const n = (started += 1);
    const file = place(`bot-${n}.json`);
    await writeFile(file, JSON.stringify({ ...settings, ...change }), { mode: 0o600 });
    const bot = await startBot(
      (argv, stdio) => nodes.execInHub(argv, { stdio, cwd: cloneDir }),
      file,
      place(`bot-${n}.log`),
    );
    bots.push(bot);
    return bot;
  };
  const desk = await start({ role: 'desk' });
  const asking = caller(desk);
  let asked = 0;
  const read = async (id: string): Promise<RestoreRequest> => {
    const request = await requests.read(id);
    if (request === undefined) throw new Error(`no request ${id}`);
    return request;
  };
  const stop = async (): Promise<void> => {
    await Promise.all(bots.map((bot) => bot.stop()));
    await connections.close();
    await nodes.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await up.etcdctl(['put', '/chaos/kept', 'before']);
    await asking('backUp');
  } catch (error) {
    console.log((await desk.log()).slice(-3_000));
    await stop();
    throw error;
  }
  return {
    cluster: up,
    store: place('store'),
    journal: redisRestoreJournal(connections),
    startWorker: () => start({}),
    async ask(orders = {}) {
      const id = `r${(asked += 1)}`;
      await writeFile(join(place('orders'), `${id}.json`), JSON.stringify(orders));
      const request = (await asking('ask', id)) as RestoreRequest | undefined;
      if (request?.state !== 'approved') throw new Error(`${id} is ${request?.state ?? 'unknown'}`);
      return request;
    },
    read,
    async stands(id) {
      const orders = (): Promise<string[]> => readdir(place('orders'));
      await eventually(
        `${id} to stand still`,
        async () => (await orders()).includes(`${id}.stands`) || undefined,
        120_000,
      );
      return () => writeFile(join(place('orders'), `${id}.goes`), '');
    },
    async deaths(id) {
      return (await readdir(place('orders'))).filter((name) => name.startsWith(`${id}.died.`)).length;
    },
    settled: (id, timeoutMs, meanwhile) =>
      eventually(
        `the end of ${id}`,
        async () => {
          await meanwhile?.();
          const request = await read(id);
          return !isOpen(request.state) || request.waiting !== undefined ? request : undefined;
        },
        timeoutMs,
      ),
    async decide(id, what) {
      await asking('decide', id, what);
    },
    stop,
  };
}

function specOf(
  cluster: LocalCluster,
  { user, keyFile }: { readonly user: string; readonly keyFile: string },
): ClusterSpec {
  const specs = cluster.nodes.map(({ name, address, hostKey }) =>
    nodeSpec(name, { address, ssh: { user, port: 22, hostKeys: [hostKey], auth: { kind: 'key', keyFile } } }),
  );
  const { backup, ...spec } = clusterSpec(specs);
  return { ...spec, name: cluster.name, backup: { ...backup, stores: ['folder'] } };
}

type Spawn = (argv: readonly string[], stdio: ['ignore', number, number, 'ipc']) => ChildProcess;

async function startBot(spawn: Spawn, settingsFile: string, logFile: string): Promise<RestoreBot> {
  const log = await open(logFile, 'a');
  const child = spawn(tsxArgv('test/chaos/restore-bot.ts', [settingsFile]), ['ignore', log.fd, log.fd, 'ipc']);
  await log.close();
  const ended = once(child, 'exit');
  const isUp = await Promise.race([once(child, 'message').then(() => true), ended.then(() => false)]);
  if (!isUp) throw new Error(`a bot did not come up:\n${await readFile(logFile, 'utf8')}`);
  return {
    process: child,
    get isAlive() {
      return child.exitCode === null && child.signalCode === null;
    },
    log: () => readFile(logFile, 'utf8'),
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** One call after another. */
function caller({ process: child }: RestoreBot): (method: Call['method'], ...args: string[]) => Promise<unknown> {
  let calls = 0;
  return async (method, ...args) => {
    const call: Call = { id: (calls += 1), method, args };
    child.send(call);
    for (;;) {
      const [answer] = (await once(child, 'message')) as [{ id: number; value?: unknown; error?: string }];
      if (answer.id !== call.id) continue;
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer.value;
    }
  };
}
