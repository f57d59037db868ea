/**
 * Owns `npm start`: with KEYTURN_CONFIG the bot alone; without it everything on this machine, from control-plane nodes to
 * the chat in the browser, until Ctrl-C.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile } from 'node:fs/promises';
import { createServer, connect, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { parse } from 'yaml';
import { tsxArgv, writeBotConfig } from './bot.ts';
import { startEnvironment, type Environment } from './environment.ts';
import { describeNodes } from './nodes/description.ts';
import type { ClusterOptions, LocalCluster } from './nodes/nodes.ts';
import { writeAgeKey, type AgeKey } from './parts/age-key.ts';
import { becomeRoot, cloneDir, defaultCacheDir } from './parts/host.ts';
import { LocalPartsError } from './parts/problem.ts';
import { pathWithTools } from './parts/tools.ts';
import { seedKeys, seedKubernetes } from './seed.ts';
import { appFromManifest } from './workspace/manifest.ts';
import type { Workspace } from './workspace/server.ts';

/** kubeadm's layout on three nodes, and one node installed by hand. */
const CLUSTERS = [
  { name: 'demo', etcdVersion: '3.5', layout: 'kubeadm', nodes: ['cp1', 'cp2', 'cp3'] },
  { name: 'edge', etcdVersion: '3.5', layout: 'e', nodes: ['edge1'] },
] as const satisfies readonly ClusterOptions[];
const DEMO = CLUSTERS[0].name;
const WORKSPACE_PORT = 8090;
const PAGE_PORT = Number(process.env['KEYTURN_PORT'] ?? 8065);
const BOT_UP_WITHIN_MS = 30_000;
const THINGS_TO_TRY = [
  `\`/etcd help\` - what you can do`,
  `\`/etcd backup ${DEMO}\` - a backup now, told in one message`,
  `\`/etcd status ${DEMO}\` and \`/etcd snapshots ${DEMO}\` - what there is`,
  `In a terminal, lose something: \`npm run local -- kv ${DEMO} del /registry/configmaps --prefix\``,
  `\`/etcd restore ${DEMO}\` - ask as one person, approve as two others; then \`npm run local -- kv ${DEMO} get /registry --prefix --keys-only\` shows what came back`,
];

if (process.env['KEYTURN_CONFIG'] === undefined) await startAll();
else await runBotAlone();

async function runBotAlone(): Promise<void> {
  const [program = '', ...args] = tsxArgv('src/main.ts', ['run']);
  const bot = spawn(program, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => bot.kill('SIGTERM'));
  const [code] = (await once(bot, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}

async function startAll(): Promise<void> {
  await becomeRoot();
  const startedAt = Date.now();
  const ends: (() => Promise<unknown>)[] = [];
  let ending: Promise<void> | undefined;
  const end = (exitCode: number): Promise<void> => (ending ??= endAll(ends, exitCode));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end(0));
  try {
    await bringUp(
      ends,
      () => ending !== undefined,
      (code) => void end(code),
    );
    say(`Up after ${Math.round((Date.now() - startedAt) / 1000)} s. Ctrl-C ends it all.`);
  } catch (error) {
    if (ending === undefined) console.error(error instanceof LocalPartsError ? `\n${error.message}` : error);
    await end(1);
  }
}

async function bringUp(
  ends: (() => Promise<unknown>)[],
  isEnding: () => boolean,
  end: (exitCode: number) => void,
): Promise<void> {
  const dir = join(cloneDir, '.local/start');
  say('Keyturn on this machine: four control-plane nodes, Redis, S3, SFTP and a chat. The first start installs parts.');
  const environment = await startEnvironment({
    dir,
    clusters: CLUSTERS,
    onProgress: say,
  });
  ends.push(() => environment.stop());
  if (isEnding()) return;
  await mkdir(join(cloneDir, '.local'), { recursive: true });
  const logFile = join(cloneDir, '.local/keyturn.log');
  const log = await open(logFile, 'w');
  ends.push(() => log.close());

  say('chat: starting the workspace');
  const socketPath = join(dir, 'workspace.sock');
  const { url, ...page } = await openPage(socketPath);
  ends.push(() => page.close());
  const workspace = await startWorkspaceProcess(environment, log.fd, { socketPath, publicUrl: url });
  ends.push(() => endProcess(workspace.process));
  await describeNodes(environment.nodes);
  const seeding = Promise.all(environment.nodes.clusters.map(seed));

  say('keyturn: starting the bot');
  const PATH = await pathWithTools({ cacheDir: defaultCacheDir(), onProgress: say });
  const config = await writeConfig(environment, dir, workspace.about);
  await seeding;
  const bot = startInHub(environment, tsxArgv('src/main.ts', ['run', '--config', config]), log.fd, { PATH });
  ends.push(() => endProcess(bot));
  bot.once('exit', (code) => {
    if (!isEnding()) console.error(`The bot ended (${code ?? 'killed'}). Its log: ${logFile}`);
    end(1);
  });
  await botIsUp(bot);
  console.log(
    ['', `  Open  ${url}`, '', '  and try:', ...THINGS_TO_TRY.map((line) => `    ${plain(line)}`), ''].join('\n'),
  );
  say(`The bot's log: ${logFile}`);
}

async function endAll(ends: readonly (() => Promise<unknown>)[], exitCode: number): Promise<void> {
  say('Ending: bot, chat, services and nodes.');
  for (const end of [...ends].reverse())
    await end().catch((error: unknown) => console.error('A part did not end well:', error));
  process.exit(exitCode);
}

type About = Pick<Workspace, 'apiUrl' | 'tokens' | 'ids'>;

async function startWorkspaceProcess(
  environment: Environment,
  logFd: number,
  where: { readonly socketPath: string; readonly publicUrl: string },
): Promise<{ readonly process: ChildProcess; readonly about: About }> {
  const app = appFromManifest(parse(await readFile(join(cloneDir, 'deploy/slack-manifest.yaml'), 'utf8')));
  const options = JSON.stringify({
    ...app,
    ...where,
    port: WORKSPACE_PORT,
    name: 'Keyturn, local',
    tips: THINGS_TO_TRY,
  });
  const child = startInHub(environment, tsxArgv('deploy/local/workspace/serve.ts'), logFd, {
    KEYTURN_WORKSPACE: options,
  });
  const died = once(child, 'exit').then(() => {
    throw new LocalPartsError('The local workspace did not start.', { hint: 'See .local/keyturn.log.' });
  });
  const first = once(createInterface({ input: child.stdout as Readable }), 'line') as Promise<[string]>;
  const [line] = await Promise.race([first, died]);
  died.catch(() => undefined);
  return { process: child, about: JSON.parse(line) as About };
}

async function writeConfig({ nodes, redis, s3, sftp }: Environment, dir: string, { apiUrl, tokens, ids }: About) {
  const channel = (name: string): string => ids.channels[name] ?? '';
  const admins = [ids.groups['etcd-admins'] ?? ''];
  const key = await ageKey(dir);
  return writeBotConfig({
    dir: join(dir, 'bot'),
    slack: {
      apiUrl,
      tokens,
      channels: { results: channel('etcd-backups'), alerts: channel('etcd-alerts') },
      oncall: ids.groups['oncall'] ?? '',
    },
    redisUrl: redis.url,
    s3Endpoint: s3.endpoint,
    offsite: sftp,
    operators: admins,
    ssh: nodes.ssh,
    clusters: nodes.clusters.map((cluster) => ({
      name: cluster.name,
      nodes: cluster.nodes.map(({ name, address, hostKey }) => ({ name, address, ssh: { hostKey } })),
      backup: { schedule: '0 */6 * * *', rpo: '8h' },
      restore: { approvals: 2, expires: '30m', onFailure: 'roll-back' },
    })),
    more: {
      // Of three admins one asks, and the two others approve.
      people: { request: admins, approve: admins, operate: admins },
      audit: { folder: join(dir, 'data/audit'), store: 's3' },
      // In earnest the identity lies somewhere else, and comes here for a restore.
      encryption: { recipients: [key.recipient], identityFiles: [key.file] },
    },
  });
}

async function ageKey(dir: string): Promise<AgeKey> {
  await mkdir(join(dir, 'bot'), { recursive: true, mode: 0o700 });
  return writeAgeKey(join(dir, 'bot/age-identity'));
}

async function seed(cluster: LocalCluster): Promise<void> {
  await seedKubernetes(cluster);
  await seedKeys(cluster, 2_000);
}

/** A process of its own group, so that Ctrl-C reaches only us; it ends by itself when we are gone. */
function startInHub(environment: Environment, argv: readonly string[], logFd: number, env: object): ChildProcess {
  const [program, ...args] = environment.nodes.inHub(argv);
  const stdout = 'KEYTURN_WORKSPACE' in env ? 'pipe' : logFd;
  return spawn(program, args, {
    detached: true,
    env: { ...process.env, ...env },
    stdio: ['ignore', stdout, logFd, 'ipc'],
  });
}

/** The bot says so itself, over the channel of its process. */
async function botIsUp(bot: ChildProcess): Promise<void> {
  const timeout = AbortSignal.timeout(BOT_UP_WITHIN_MS);
  await Promise.race([once(bot, 'message', { signal: timeout }), once(bot, 'exit', { signal: timeout })]).catch(() => {
    throw new LocalPartsError('The bot did not come up.', { hint: 'See .local/keyturn.log.' });
  });
}

const END_WITHIN_MS = 40_000;

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_WITHIN_MS);
  await ended;
  clearTimeout(timer);
}

/** The page on this machine's loopback; the workspace itself lives in the nodes' network, behind a unix socket. */
async function openPage(socketPath: string): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server = createServer((incoming) => {
    const outgoing = connect(socketPath);
    for (const [from, to] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  const port = await listen(server, PAGE_PORT).catch(() => listen(server, 0));
  return {
    url: `http://localhost:${port}`,
    close: async () => {
      server.close();
    },
  };
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function say(line: string): void {
  console.log(line);
}

function plain(line: string): string {
  return line.replaceAll('`', '');
}
