/** Owns the developers' way to local nodes: `npx tsx deploy/local/nodes/cli.ts up`, then `exec` and `down` from elsewhere. */
import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { becomeRoot, cloneDir } from '../parts/host.ts';
import { LocalPartsError } from '../parts/problem.ts';
import { LAYOUTS, type LayoutName } from './layouts.ts';
import { startNodes, type ClusterOptions, type LocalNode, type LocalNodes } from './nodes.ts';
import { isAlive, type ProcessId } from './processes.ts';

interface Description {
  readonly hub: LocalNodes['hub'];
  readonly ssh: LocalNodes['ssh'];
  readonly clusters: readonly {
    readonly name: string;
    readonly etcdVersion: string;
    readonly nodes: readonly {
      readonly name: string;
      readonly address: string;
      readonly hostKey: string;
      readonly inside: readonly string[];
    }[];
  }[];
}

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

const folder = ['-d, --dir <folder>', 'work files of the instance', join(cloneDir, '.local/dev')] as const;
const program = new Command('nodes').description('Real control-plane nodes on this machine').enablePositionalOptions();

program
  .command('up')
  .description('start nodes, and keep them until Ctrl-C or `down`')
  .option(...folder)
  .option('-c, --cluster <name:version:count[:layout]>', 'a cluster (may be given again); default dev:3.5:3', clusterOf)
  .action(async ({ dir, cluster }: { dir: string; cluster?: ClusterOptions[] }) => {
    await becomeRoot();
    const clusters = cluster ?? clusterOf('dev:3.5:3');
    const nodes = await startNodes({ instanceDir: resolve(dir), clusters, onProgress: (line) => console.error(line) });
    const end = (): void => void nodes.stop().then(() => process.exit(0));
    process.once('SIGINT', end);
    process.once('SIGTERM', end);
    const description = JSON.stringify(describe(nodes), undefined, 2);
    await writeFile(join(nodes.instanceDir, 'nodes.json'), description);
    console.log(description);
  });

program
  .command('exec')
  .description('run a command as root on a node')
  .argument('<node>', 'cp1, or cluster/cp1')
  .argument('<command...>')
  .option(...folder)
  .passThroughOptions()
  .action(async (node: string, command: string[], { dir }: { dir: string }) => {
    const { clusters } = JSON.parse(await readFile(join(dir, 'nodes.json'), 'utf8')) as Description;
    const all = clusters.flatMap((c) => c.nodes.map((n) => ({ ...n, names: [n.name, `${c.name}/${n.name}`] })));
    const found = all.find((each) => each.names.includes(node));
    if (found === undefined) throw new Error(`No node ${node}; there are ${all.map((n) => n.names[1]).join(', ')}`);
    const [enter = '', ...args] = found.inside;
    process.exitCode = spawnSync(enter, [...args, ...command], { stdio: 'inherit' }).status ?? 1;
  });

program
  .command('down')
  .description('end the nodes that `up` started')
  .option(...folder)
  .action(async ({ dir }: { dir: string }) => {
    const starter = JSON.parse(await readFile(join(dir, 'starter'), 'utf8')) as ProcessId;
    if (await isAlive(starter)) process.kill(starter.pid, 'SIGTERM');
    for (let waited = 0; waited < 15_000 && (await isAlive(starter)); waited += 50) {
      await new Promise((done) => setTimeout(done, 50));
    }
  });

function describe(nodes: LocalNodes): Description {
  const node = (each: LocalNode): Description['clusters'][number]['nodes'][number] => ({
    name: each.name,
    address: each.address,
    hostKey: each.hostKey,
    inside: each.inside([]),
  });
  return {
    hub: nodes.hub,
    ssh: nodes.ssh,
    clusters: nodes.clusters.map((cluster) => ({
      name: cluster.name,
      etcdVersion: cluster.etcdVersion,
      nodes: [...cluster.nodes, ...(cluster.bastion === undefined ? [] : [cluster.bastion])].map(node),
    })),
  };
}

await program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof LocalPartsError ? error.message : error);
  process.exitCode = 1;
});
