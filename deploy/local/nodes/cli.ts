/** Owns the developers' way to local nodes: `npm run local -- up`, then `exec`, `kv` and `down` from elsewhere. */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { becomeRoot, cloneDir } from '../parts/host.ts';
import { LocalPartsError } from '../parts/problem.ts';
import { describeNodes, readDescription, type Description, type NodeDescription } from './description.ts';
import { LAYOUTS, type LayoutName } from './layouts.ts';
import { startNodes, type ClusterOptions } from './nodes.ts';
import { isAlive, type ProcessId } from './processes.ts';

/** `name:version:count[:layout]`, e.g. `prod:3.5:3:kubeadm`. */
function clusterOf(text: string, before: readonly ClusterOptions[] = []): ClusterOptions[] {
  const layouts = Object.keys(LAYOUTS);
  const pattern = /^(?<name>[a-z][a-z0-9-]*):(?<version>3\.[45]):(?<count>[1-9])(:(?<layout>[a-z]+))?$/;
  const { name = '', version, count, layout = 'etcd' } = pattern.exec(text)?.groups ?? {};
  if ((version !== '3.4' && version !== '3.5') || !isLayout(layout)) {
    throw new InvalidArgumentError(
      `expected name:3.4|3.5:count[:layout], e.g. prod:3.5:3:kubeadm; a layout is one of ${layouts.join(', ')}`,
    );
  }
  const nodes = Array.from({ length: Number(count) }, (_, index) => `cp${index + 1}`);
  return [...before, { name, etcdVersion: version, nodes, layout }];
}

function isLayout(name: string): name is LayoutName {
  return Object.hasOwn(LAYOUTS, name);
}

/** Where nodes may run: those of `npm start`, and those of `up`. */
const START_DIR = join(cloneDir, '.local/start/nodes');
const DEV_DIR = join(cloneDir, '.local/dev');
const runningIn = [
  '-d, --dir <folder>',
  'where the nodes run; by default those of npm start, else those of up',
] as const;

const program = new Command('npm run local --')
  .description('Real control-plane nodes on this machine')
  .enablePositionalOptions();

program
  .command('up')
  .description('start nodes, and keep them until Ctrl-C or `down`')
  .option('-d, --dir <folder>', 'work files of the instance', DEV_DIR)
  .option('-c, --cluster <name:version:count[:layout]>', 'a cluster (may be given again); default dev:3.5:3', clusterOf)
  .option('--real-kubelet', 'with containerd, and the real kube-apiserver; built first, which takes minutes')
  .action(async ({ dir, cluster, realKubelet }: { dir: string; cluster?: ClusterOptions[]; realKubelet?: true }) => {
    await becomeRoot();
    const kubelet = realKubelet === true ? 'real' : 'stand-in';
    const clusters = (cluster ?? clusterOf('dev:3.5:3')).map((each) => ({ ...each, kubelet }) as const);
    const nodes = await startNodes({ instanceDir: resolve(dir), clusters, onProgress: (line) => console.error(line) });
    const end = (): void => void nodes.stop().then(() => process.exit(0));
    process.once('SIGINT', end);
    process.once('SIGTERM', end);
    console.log(JSON.stringify(await describeNodes(nodes), undefined, 2));
  });

program
  .command('exec')
  .description('run a command as root on a node')
  .argument('<node>', 'cp1, or cluster/cp1')
  .argument('<command...>')
  .option(...runningIn)
  .passThroughOptions()
  .action(async (node: string, command: string[], { dir }: { dir?: string }) => {
    const { clusters } = await running(dir);
    const all = clusters.flatMap((c) => c.nodes.map((n) => ({ ...n, names: [n.name, `${c.name}/${n.name}`] })));
    const found = all.find((each) => each.names.includes(node));
    if (found === undefined)
      throw unknown(
        'node',
        node,
        all.map(({ names }) => names[1]),
      );
    runInside(found, command);
  });

program
  .command('kv')
  .description('look at keys of a cluster, write them or delete them: what etcdctl takes')
  .argument('<cluster>')
  .argument('<get|put|del...>', 'e.g. get /registry --prefix --keys-only')
  .option(...runningIn)
  .passThroughOptions()
  .action(async (name: string, command: string[], { dir }: { dir?: string }) => {
    const { clusters } = await running(dir);
    const cluster = clusters.find((each) => each.name === name);
    const node = cluster?.nodes[0];
    if (cluster === undefined || node === undefined) {
      throw unknown(
        'cluster',
        name,
        clusters.map((each) => each.name),
      );
    }
    runInside(node, [...cluster.etcdctl, ...command]);
  });

program
  .command('down')
  .description('end the nodes that `up` started')
  .option('-d, --dir <folder>', 'work files of the instance', DEV_DIR)
  .action(async ({ dir }: { dir: string }) => {
    const starter = JSON.parse(await readFile(join(dir, 'starter'), 'utf8')) as ProcessId;
    if (await isAlive(starter)) process.kill(starter.pid, 'SIGTERM');
    for (let waited = 0; waited < 15_000 && (await isAlive(starter)); waited += 50) {
      await new Promise((done) => setTimeout(done, 50));
    }
  });

/** The nodes that run in that folder; without one, those of `npm start`, else those of `up`. */
async function running(dir: string | undefined): Promise<Description> {
  await becomeRoot();
  for (const each of dir === undefined ? [START_DIR, DEV_DIR] : [resolve(dir)]) {
    const description = await readDescription(each);
    if (description !== undefined) return description;
  }
  throw new LocalPartsError('No local nodes run.', { hint: 'Start them: npm start, or npm run local -- up.' });
}

function unknown(what: string, name: string, all: readonly (string | undefined)[]): LocalPartsError {
  return new LocalPartsError(`There is no local ${what} ${name}.`, { hint: `There are ${all.join(', ')}.` });
}

function runInside({ inside }: NodeDescription, command: readonly string[]): void {
  const [enter = '', ...args] = [...inside, ...command];
  process.exitCode = spawnSync(enter, args, { stdio: 'inherit' }).status ?? 1;
}

await program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof LocalPartsError ? error.message : error);
  process.exitCode = 1;
});
