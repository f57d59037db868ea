/** Owns what a cluster's machines are before their first boot: their addresses, certificates, settings and rights. */
import { join } from 'node:path';
import type { Loader } from '../parts/programs.ts';
import { sudoRules } from '../parts/sudoers.ts';
import type { Kubernetes } from '../parts/kubernetes.ts';
import { ADMIN_CONF, adminConf, apiCaPath, controlPlane, type KubeletKind } from './control-plane.ts';
import { etcdFiles, etcdPrograms, type EtcdVersion } from './etcd-files.ts';
import type { Machine } from './instance.ts';
import { CONTAINER_DISK } from './real-kubelet.ts';
import { caPath, hasKubelet, LAYOUTS, pairPaths, type Layout, type LayoutName } from './layouts.ts';
import { prepareMachine, userOf, type MachineFile, type MachineSpec } from './prepare-machine.ts';
import { apiPairNames, isApiPair, makePki, pairNames, type PairName, type Pki } from './pki.ts';

/** What differs from the layout of that name may be said beside it, e.g. another `dataDir`. */
export interface ClusterOptions extends Partial<Layout> {
  readonly name: string;
  readonly etcdVersion: EtcdVersion;
  /** Names of its nodes, e.g. cp1, cp2, cp3; other clusters may use the same. */
  readonly nodes: readonly string[];
  /** Default `etcd`: under systemd, with its data in /var/lib/etcd, and nothing beside it. */
  readonly layout?: LayoutName;
  /** Default `stand-in`. */
  readonly kubelet?: KubeletKind;
  /** Bytes; etcd's default of 2 GiB when left out. */
  readonly quotaBytes?: number;
  /** How long certificates hold from now; default a year. */
  readonly certificateLifetimeMs?: number;
}

export type NamedMachine = Machine & { readonly name: string };

export interface ClusterPlan {
  readonly options: ClusterOptions;
  readonly layout: Layout;
  readonly nodes: readonly NamedMachine[];
  readonly bastion: NamedMachine | undefined;
}

/** Addresses are given in order, over all clusters, from .11 on. */
export function planMachines(clusters: readonly ClusterOptions[]): ClusterPlan[] {
  let count = 0;
  const next = (name: string): NamedMachine => {
    count += 1;
    return { id: `m${count}`, address: `10.77.0.${10 + count}`, name };
  };
  return clusters.map((options) => {
    const layout: Layout = { ...LAYOUTS[options.layout ?? 'etcd'], ...options };
    const nodes = options.nodes.map(next);
    return { options, layout, nodes, bastion: layout.bastion ? next(`${options.name}-bastion`) : undefined };
  });
}

export function allMachines({ nodes, bastion }: ClusterPlan): NamedMachine[] {
  return bastion === undefined ? [...nodes] : [...nodes, bastion];
}

export interface PreparedCluster {
  readonly plan: ClusterPlan;
  readonly pki: Pki;
  readonly machines: readonly { readonly spec: MachineSpec; readonly hostPublicKey: string }[];
}

const YEAR = 365 * 24 * 3_600_000;

export interface ClusterParts {
  readonly loader: Loader;
  readonly authorizedKey: string;
  /** For clusters with a real kubelet. */
  readonly kubernetes: Kubernetes | undefined;
}

/** Whether its nodes run containers. */
export function hasContainers({ options, layout }: Pick<ClusterPlan, 'options' | 'layout'>): boolean {
  return options.kubelet === 'real' && hasKubelet(layout);
}

/** Writes the files of all its machines below `dir`. */
export async function prepareCluster(plan: ClusterPlan, dir: string, parts: ClusterParts): Promise<PreparedCluster> {
  const { loader, authorizedKey } = parts;
  const { name, certificateLifetimeMs = YEAR } = plan.options;
  const pki = await makePki(join(dir, 'pki', name), loader, name);
  const notAfter = new Date(Date.now() + certificateLifetimeMs);
  const machines = await Promise.all(
    allMachines(plan).map(async (machine) => {
      const role = machine === plan.bastion ? noRole : await nodeRole(plan, pki, { machine, notAfter, parts });
      const spec = { ...machine, hostname: machine.name, hosts: allMachines(plan), ...role };
      return { spec, hostPublicKey: await prepareMachine(dir, spec, { loader, authorizedKey }) };
    }),
  );
  return { plan, pki, machines };
}

type Files = Record<string, MachineFile>;
type Role = Pick<MachineSpec, 'files' | 'directories' | 'units' | 'kubernetes'>;

const noRole: Role = { files: {}, directories: [], units: [], kubernetes: undefined };

async function nodeRole(
  plan: ClusterPlan,
  pki: Pki,
  on: { readonly machine: NamedMachine; readonly notAfter: Date; readonly parts: ClusterParts },
): Promise<Role> {
  const { layout, options } = plan;
  const { machine, notAfter, parts } = on;
  const kubernetes = hasContainers(plan) ? parts.kubernetes : undefined;
  const others = await controlPlane(layout, {
    address: machine.address,
    kubelet: kubernetes === undefined ? 'stand-in' : 'real',
    etcdVersion: etcdPrograms[options.etcdVersion].version,
  });
  const data = [layout.dataDir, ...(layout.walDir === undefined ? [] : [layout.walDir])];
  const disks = layout.mounts.filter((path) => !data.includes(path));
  return {
    files: {
      ...(await etcdsFiles(plan, machine, parts.loader)),
      ...others.files,
      ...(await certificateFiles(plan, pki, machine, pairNames, notAfter)),
      ...(layout.apiServer === 'none' ? {} : await apiFiles(plan, pki, machine, notAfter)),
      ...rightsFiles(layout),
    },
    directories: [
      ...[...data, ...disks].map((path) => ({
        path,
        owner: layout.user,
        mode: 0o700,
        isMount: layout.mounts.includes(path),
      })),
      ...(kubernetes === undefined ? [] : [CONTAINER_DISK]),
    ],
    kubernetes,
    units: [...(layout.etcd === 'systemd' ? ['etcd.service'] : []), ...others.units],
  };
}

async function etcdsFiles({ options, nodes, layout }: ClusterPlan, node: NamedMachine, loader: Loader): Promise<Files> {
  const files = etcdFiles({
    version: options.etcdVersion,
    clusterName: options.name,
    node,
    peers: nodes,
    layout,
    etcdUser: await userOf(loader, 'etcd'),
    quotaBytes: options.quotaBytes,
  });
  return Object.fromEntries(
    Object.entries(files).map(([path, text]) => [path, { text, mode: path.endsWith('.yaml') ? 0o600 : 0o644 }]),
  );
}

/** etcd's: the CA and those pairs. */
export async function certificateFiles(
  { layout }: ClusterPlan,
  pki: Pki,
  node: NamedMachine,
  pairs: readonly PairName[],
  notAfter: Date,
): Promise<Files> {
  const files: Files = { [caPath(layout)]: { text: pki.ca, mode: 0o644 } };
  for (const pair of pairs) {
    const { certificate, key } = await pki.issue(pair, node, notAfter);
    const paths = pairPaths(layout, pair);
    files[paths.certificate] = { text: certificate, mode: 0o644 };
    files[paths.key] = { text: key, mode: 0o600, owner: isApiPair(pair) ? 'root' : layout.user };
  }
  return files;
}

async function apiFiles(plan: ClusterPlan, pki: Pki, node: NamedMachine, notAfter: Date): Promise<Files> {
  const { layout } = plan;
  const admin = await pki.issue('admin', node, notAfter);
  return {
    ...(await certificateFiles(plan, pki, node, apiPairNames, notAfter)),
    [apiCaPath(layout)]: { text: pki.ca, mode: 0o644 },
    ...(layout.adminConf ? { [ADMIN_CONF]: { text: adminConf(node, { ca: pki.ca, ...admin }), mode: 0o600 } } : {}),
  };
}

function rightsFiles(layout: Layout): Files {
  const { certificate, key } = pairPaths(layout, 'server');
  const rules = sudoRules([`${layout.manifestsDir}/etcd.yaml`, caPath(layout), certificate, key]);
  return Object.fromEntries(Object.entries(rules).map(([path, text]) => [path, { text, mode: 0o440 }]));
}
