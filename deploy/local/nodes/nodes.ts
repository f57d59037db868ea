/** Owns the local control-plane nodes as others use them: clusters of real machines, started with one call and gone with another. */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkHost, cloneDir, defaultCacheDir } from '../parts/host.ts';
import { LocalPartsError, lastLines } from '../parts/problem.ts';
import { ensureKubernetes } from '../parts/kubernetes.ts';
import { loaderOf, programOf, type Loader } from '../parts/programs.ts';
import { ensureRootfs } from '../parts/rootfs.ts';
import { sshUser } from '../parts/sudoers.ts';
import { apiCaPath } from './control-plane.ts';
import { etcdPrograms, type EtcdVersion } from './etcd-files.ts';
import { claimInstance, type Instance } from './instance.ts';
import { caPath, pairPaths, type Layout } from './layouts.ts';
import { LocalMachine, type ExecOptions, type ExecOutput } from './machine.ts';
import { fingerprint, makeSshKey, publicKeyOf, type MachineSpec } from './prepare-machine.ts';
import type { PairName } from './pki.ts';
import {
  allMachines,
  certificateFiles,
  hasContainers,
  planMachines,
  prepareCluster,
  type ClusterOptions,
  type ClusterPlan,
  type PreparedCluster,
} from './prepare-cluster.ts';

export type { ClusterOptions } from './prepare-cluster.ts';

export interface NodesOptions {
  readonly clusters: readonly ClusterOptions[];
  /** Work files; removed at the end. Default `.local/nodes` in the clone. */
  readonly instanceDir?: string;
  /** Default `node`. */
  readonly image?: 'node' | 'bench-node';
  /** Default: see `defaultCacheDir`. */
  readonly cacheDir?: string;
  readonly onProgress?: (line: string) => void;
}

export interface LocalNode {
  readonly name: string;
  readonly address: string;
  /** `SHA256:…`, as OpenSSH prints it. */
  readonly hostKey: string;
  /** The key itself, `ssh-ed25519 …`, as known_hosts has it. */
  readonly hostPublicKey: string;
  isRunning(): boolean;
  /** Runs `argv` as root on the node, not by ssh. A non-zero exit is a result. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<ExecOutput>;
  /** The argv that does the same, for `spawn`. */
  inside(argv: readonly string[]): [string, ...string[]];
  /** Writes a file on the node as root. */
  write(path: string, text: string, mode: number): Promise<void>;
  /** Powers it off in order. Its disk stays. */
  stop(): Promise<void>;
  /** Boots it; resolves when sshd answers. */
  start(): Promise<void>;
  /** Pulls the plug. */
  kill(): Promise<void>;
  linkDown(): Promise<void>;
  linkUp(): Promise<void>;
  /** Drops packets on the node's network, e.g. `['-A', 'INPUT', '-p', 'tcp', '--dport', '22', '-j', 'DROP']`; `['-F']` undoes it. */
  iptables(args: readonly string[]): Promise<void>;
  /** Puts a small empty disk (memory) over `path`; unmounted with `umount` or by the next boot. */
  smallDisk(path: string, bytes: number): Promise<void>;
}

export interface LocalCluster {
  readonly name: string;
  readonly etcdVersion: EtcdVersion;
  readonly nodes: readonly LocalNode[];
  readonly bastion: LocalNode | undefined;
  readonly layout: Layout;
  readonly tlsDir: string;
  readonly dataDir: string;
  /** Throws when there is none of that name. */
  node(name: string): LocalNode;
  /** Runs etcdctl with certificates against all members, on the first running node or on `node`. Throws when it fails. */
  etcdctl(args: readonly string[], options?: ExecOptions & { readonly node?: string }): Promise<string>;
  /** The argv of etcdctl on one of its nodes, with certificates, against all members of running nodes. */
  etcdctlArgv(): readonly string[];
  /** Resolves when every member of a running node is healthy; throws after `timeoutMs` (default 30,000; with a real kubelet 240,000). */
  waitHealthy(timeoutMs?: number): Promise<void>;
  /** Asks the kube-apiserver on a node (the first by default), without a certificate, e.g. `/readyz`. */
  api(path: string, options?: { readonly node?: string }): Promise<ApiAnswer>;
  /** Resolves when the kube-apiserver of every running node says `/readyz`, at once where the layout has none. */
  waitServing(timeoutMs?: number): Promise<void>;
  /** Puts new certificates on every node, e.g. expired ones. etcd takes them up with the next connection. */
  reissue(pairs: readonly PairName[], notAfter: Date): Promise<void>;
}

export interface ApiAnswer {
  /** 0: no answer. */
  readonly status: number;
  readonly body: string;
}

export interface LocalNodes {
  readonly clusters: readonly LocalCluster[];
  /** Throws when there is none of that name. */
  cluster(name: string): LocalCluster;
  readonly instanceDir: string;
  readonly ssh: { readonly user: string; readonly keyFile: string };
  readonly hub: {
    /** The hub's own address; machines reach servers in the hub by it. */
    readonly address: string;
    /** Network namespace by name (`ip netns exec NAME …`). */
    readonly netns: string;
    /** The same as a file (`nsenter --net=FILE …`). */
    readonly netnsFile: string;
  };
  /** The argv that runs `argv` in the hub's network, with the caller's files. */
  inHub(argv: readonly string[]): [string, ...string[]];
  /** Starts a program in the hub's network. It is yours to end; it is killed when this process dies without doing so. */
  execInHub(
    argv: readonly string[],
    options?: { readonly env?: NodeJS.ProcessEnv; readonly stdio?: StdioOptions; readonly cwd?: string },
  ): ChildProcess;
  /** The argv that runs a program of the nodes' image here, e.g. `usr/bin/ssh`, in case this machine has none. */
  imageProgram(program: string, args: readonly string[]): [string, ...string[]];
  /** Ends and removes everything; safe twice. */
  stop(): Promise<void>;
}

const hubAddress = '10.77.0.1';
const UP_WITHIN_MS = 30_000;
/** A real kubelet pulls its containers up one after the other, and a real kube-apiserver takes 15 s of a processor. */
const CONTAINERS_UP_WITHIN_MS = 240_000;
const askApi = readFile(join(cloneDir, 'deploy/local/nodes/stand-ins/ask-api.py'), 'utf8');

/**
 * Starts clusters of real machines: systemd, sshd, etcd with TLS, each machine with a network and a disk of its own.
 * Resolves when sshd answers everywhere and every etcd is healthy. Everything ends with this process, even by kill -9.
 * Throws LocalPartsError when this machine can't, or when something does not come up; nothing is left then.
 */
export async function startNodes(options: NodesOptions): Promise<LocalNodes> {
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  const progress = options.onProgress ?? (() => undefined);
  await checkHost();
  const rootfs = await ensureRootfs(options.image ?? 'node', { cacheDir, onProgress: progress });
  const loader = await loaderOf(rootfs);
  const plans = planMachines(options.clusters);
  const kubernetes = plans.some(hasContainers)
    ? await ensureKubernetes(rootfs, { cacheDir, onProgress: progress })
    : undefined;
  const dir = options.instanceDir ?? join(cloneDir, '.local/nodes');
  const claimed = await claimInstance(dir, { rootfs, machines: plans.flatMap(allMachines) });
  try {
    const keyFile = join(claimed.dir, 'ssh/id_ed25519');
    await makeSshKey(loader, keyFile, sshUser);
    const authorizedKey = await publicKeyOf(keyFile);
    const parts = { loader, authorizedKey, kubernetes };
    const prepared = await Promise.all(plans.map((plan) => prepareCluster(plan, claimed.dir, parts)));
    const instance = await claimed.run();
    const clusters = prepared.map((cluster) => assemble(cluster, instance, loader));
    const machines = clusters.flatMap((c) => [...c.nodes, ...(c.bastion === undefined ? [] : [c.bastion])]);
    progress(`nodes: booting ${machines.length} machines`);
    await Promise.all(machines.map((machine) => machine.start()));
    progress('nodes: waiting for etcd');
    await Promise.all(clusters.map((cluster) => cluster.waitHealthy()));
    await Promise.all(clusters.map((cluster) => cluster.waitServing()));
    return localNodes(clusters, { instance, loader, keyFile });
  } catch (error) {
    await claimed.stop();
    throw error;
  }
}

function assemble({ plan, pki, machines }: PreparedCluster, instance: Instance, loader: Loader): LocalCluster {
  const all = machines.map(({ spec, hostPublicKey }) =>
    localNode(spec, hostPublicKey, new LocalMachine(spec, instance, loader)),
  );
  const nodes = all.slice(0, plan.nodes.length);
  const { name, etcdVersion } = plan.options;
  const node = (wanted: string): LocalNode => pick(nodes, wanted, 'node');
  const argv = (): readonly string[] =>
    etcdctlArgv(
      plan,
      nodes.filter((each) => each.isRunning()),
    );
  const etcdctl: LocalCluster['etcdctl'] = async (args, options = {}) => {
    const runner = options.node === undefined ? nodes.find((each) => each.isRunning()) : node(options.node);
    if (runner === undefined) throw new Error(`No node of ${name} is running.`);
    const output = await runner.exec([...argv(), ...args], options);
    if (output.code !== 0) throw new Error(`etcdctl ${args.join(' ')} on ${runner.name}: ${lastLines(output)}`);
    return output.stdout;
  };
  const api: LocalCluster['api'] = async (path, options = {}) => {
    const asked = node(options.node ?? nodes[0]?.name ?? '');
    const output = await asked.exec(['python3', '-', apiCaPath(plan.layout), path], { input: await askApi });
    const end = output.stdout.indexOf('\n');
    if (output.code !== 0) throw new Error(`kube-apiserver on ${asked.name} could not be asked: ${lastLines(output)}`);
    return { status: Number(output.stdout.slice(0, Math.max(end, 0))), body: output.stdout.slice(end + 1) };
  };
  const upWithinMs = hasContainers(plan) ? CONTAINERS_UP_WITHIN_MS : UP_WITHIN_MS;
  return {
    name,
    etcdVersion,
    nodes,
    bastion: all[plan.nodes.length],
    layout: plan.layout,
    tlsDir: plan.layout.tlsDir,
    dataDir: plan.layout.dataDir,
    node,
    etcdctl,
    etcdctlArgv: argv,
    waitHealthy: (timeoutMs = upWithinMs) => waitHealthy(name, etcdctl, timeoutMs),
    api,
    waitServing: async (timeoutMs = upWithinMs) => {
      if (plan.layout.apiServer === 'none') return;
      const running = nodes.filter((each) => each.isRunning());
      await Promise.all(running.map((each) => waitServing(each.name, api, timeoutMs)));
    },
    reissue: async (pairs, notAfter) => {
      for (const each of nodes) {
        const files = await certificateFiles(plan, pki, pick(plan.nodes, each.name, 'node'), pairs, notAfter);
        for (const [path, { text, mode, owner = 'root' }] of Object.entries(files)) {
          await each.write(path, text, mode);
          await each.exec(['chown', owner, path]);
        }
      }
    },
  };
}

function localNode(spec: MachineSpec, hostPublicKey: string, machine: LocalMachine): LocalNode {
  return {
    name: spec.hostname,
    address: spec.address,
    hostKey: fingerprint(hostPublicKey),
    hostPublicKey,
    isRunning: () => machine.isRunning(),
    exec: (argv, options) => machine.exec(argv, options),
    inside: (argv) => machine.inside(argv),
    write: (path, text, mode) => machine.write(path, text, mode),
    stop: () => machine.stop(),
    start: () => machine.start(),
    kill: () => machine.kill(),
    linkDown: () => machine.setLink('down'),
    linkUp: () => machine.setLink('up'),
    iptables: (args) => machine.iptables(args),
    smallDisk: async (path, bytes) => {
      const output = await machine.exec(['mount', '-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]);
      if (output.code !== 0) throw new Error(`No small disk on ${spec.hostname}: ${output.stderr}`);
    },
  };
}

function etcdctlArgv({ options, layout }: ClusterPlan, members: readonly LocalNode[]): string[] {
  const endpoints = members.map(({ address }) => `https://${address}:2379`);
  const { certificate, key } = pairPaths(layout, 'healthcheck-client');
  return [
    'env',
    'ETCDCTL_API=3',
    etcdPrograms[options.etcdVersion].etcdctl,
    `--endpoints=${endpoints.join(',')}`,
    ...[`--cacert=${caPath(layout)}`, `--cert=${certificate}`, `--key=${key}`],
  ];
}

async function waitServing(node: string, api: LocalCluster['api'], timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while ((await api('/readyz', { node })).status !== 200) {
    if (Date.now() > deadline) {
      throw new LocalPartsError(`kube-apiserver of ${node} is not ready after ${timeoutMs / 1000} s.`, {
        hint: 'See the node: `journalctl -u kubelet -u kube-apiserver` and /var/log/containers there.',
      });
    }
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function waitHealthy(name: string, etcdctl: LocalCluster['etcdctl'], timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      await etcdctl(['endpoint', 'health', '--command-timeout=2s'], { timeoutMs: 5_000 });
      return;
    } catch (error) {
      if (Date.now() > deadline) {
        throw new LocalPartsError(
          `etcd of ${name} is not healthy after ${timeoutMs / 1000} s: ${lastLines(error, 5)}`,
          {
            hint: 'See the node: `journalctl -u etcd` there.',
          },
        );
      }
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}

function localNodes(
  clusters: readonly LocalCluster[],
  { instance, loader, keyFile }: { readonly instance: Instance; readonly loader: Loader; readonly keyFile: string },
): LocalNodes {
  return {
    clusters,
    cluster: (name) => pick(clusters, name, 'cluster'),
    instanceDir: instance.dir,
    ssh: { user: sshUser, keyFile },
    hub: { address: hubAddress, netns: instance.netns, netnsFile: instance.netnsFile },
    inHub: (argv) => instance.inHub(argv),
    execInHub: (argv, options = {}) => {
      return spawn('setpriv', ['--pdeathsig', 'KILL', ...instance.inHub(argv)], { stdio: 'inherit', ...options });
    },
    imageProgram: (program, args) => programOf(loader, program, args),
    stop: () => instance.stop(),
  };
}

function pick<T extends { readonly name: string }>(all: readonly T[], name: string, what: string): T {
  const found = all.find((each) => each.name === name);
  if (found === undefined)
    throw new Error(`No local ${what} "${name}"; there are ${all.map((each) => each.name).join(', ')}.`);
  return found;
}
