/** Owns how etcd is found on a node: off its running process, else off the manifest or unit that would start it. */
import { parse as parseYaml } from 'yaml';
import type { EtcdOnNode, Supervisor } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import {
  configFileOf,
  etcdFlags,
  etcdOnNode,
  isEtcdServer,
  splitNul,
  supervisorOf,
  wantsClientCertificate,
  type EtcdFlags,
} from '../../domain/etcd-commands.ts';
import { script } from '../../domain/restore/shell.ts';
import type { NodeConnection } from '../../ports.ts';
import { readAsRoot, readFiles } from './node-files.ts';
import { parsePrinted, SHOW, type Printed } from './printed.ts';
import {
  MANIFESTS,
  podsOf,
  printedManifests,
  SHOW_MANIFESTS,
  type ManifestFile,
  type StaticPod,
} from './static-pods.ts';
import { environmentFilesOf, isMeantToRun, startedBy, UNIT_PROPERTIES } from './units.ts';

export const MANIFEST = `${MANIFESTS}/etcd.yaml`;
const UNIT = 'etcd.service';

export interface FoundEtcd {
  readonly etcd: EtcdOnNode;
  readonly asksForCertificate: boolean;
  /** As it runs; of one that is stopped, as it would be started. */
  readonly argv: readonly string[];
  /** Out of its environment, its command line or its configuration file. */
  readonly flags: EtcdFlags;
  readonly hasConfigFile: boolean;
  /** What would start it, where it is a stopped static pod. */
  readonly pod: StaticPod | undefined;
}

/**
 * One look at the node with whatever rights it is run with. Where no etcd runs: the manifests of static pods, and what
 * systemd knows of its unit.
 */
const LOOK = script(
  'set +eu',
  SHOW,
  SHOW_MANIFESTS,
  `for d in /proc/[0-9]*; do
  read -r name 2>/dev/null < "$d/comm" || continue
  [ "$name" = etcd ] || continue
  found=1
  for f in cmdline cgroup environ; do [ -r "$d/$f" ] && show $f "\${d#/proc/}" < "$d/$f"; done 2>/dev/null
done
[ -n "$found" ] && exit 0
show_manifests
systemctl show ${UNIT} ${UNIT_PROPERTIES} 2>/dev/null | show unit -
exit 0`,
);

/** Throws node.etcd-not-found, node.sudo-denied, node.command-failed, ssh.*. */
export async function findEtcd(connection: NodeConnection, signal?: AbortSignal): Promise<FoundEtcd> {
  const { stdout } = await connection.exec(['sh', '-c', LOOK], signal === undefined ? {} : { signal });
  const printed = parsePrinted(stdout);
  const running = processesOf(printed).find(({ argv }) => isEtcdServer(argv));
  if (running !== undefined) return fromProcess(connection, running, signal);
  const stopped =
    (await fromManifest(connection, printedManifests(printed), signal)) ??
    (await fromUnit(connection, printed.text('unit'), signal));
  if (stopped !== undefined) return stopped;
  throw new KeyturnError('node.etcd-not-found', `No etcd runs on ${connection.node.name}.`, {
    hint: `There is no process "etcd", no manifest of it and no ${UNIT} there: correct the cluster's nodes, or start etcd.`,
  });
}

interface Process {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly cgroup: string;
  /** Undefined when the login may not read it. */
  readonly environment: readonly string[] | undefined;
}

function processesOf(printed: Printed): readonly Process[] {
  return printed.keys('cmdline').map((pid) => {
    const environ = printed.get('environ', pid);
    return {
      pid: Number(pid),
      argv: splitNul(printed.get('cmdline', pid) ?? new Uint8Array()),
      cgroup: printed.text('cgroup', pid),
      environment: environ === undefined || environ.length === 0 ? undefined : splitNul(environ),
    };
  });
}

async function fromProcess(connection: NodeConnection, process: Process, signal?: AbortSignal): Promise<FoundEtcd> {
  const environment = process.environment ?? (await environmentOf(connection, process, signal));
  const supervisor = supervisorOf(process.cgroup, MANIFEST);
  return found(connection, process.argv, environment, { pid: process.pid, supervisor }, signal);
}

/** Only root may read it. Where sudo does not allow that, a command line that says where etcd listens will do. */
async function environmentOf(
  connection: NodeConnection,
  { pid, argv }: Process,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  try {
    return splitNul(await readAsRoot(connection, `/proc/${pid}/environ`, signal));
  } catch (error) {
    const flags = etcdFlags(argv, []);
    if ((error as KeyturnError).code === 'node.sudo-denied' && flags.has('listen-client-urls')) return [];
    throw error;
  }
}

async function found(
  connection: NodeConnection,
  argv: readonly string[],
  environment: readonly string[],
  process: { readonly pid: number | undefined; readonly supervisor: Supervisor },
  signal?: AbortSignal,
  pod?: StaticPod,
): Promise<FoundEtcd> {
  const file = configFileOf(argv, environment);
  const [content] = file === undefined ? [] : await readFiles(connection, [file], signal);
  const flags = etcdFlags(
    argv,
    environment,
    content === undefined ? undefined : (parseYaml(content.toString()) as Record<string, unknown>),
  );
  return {
    etcd: etcdOnNode(connection.node.name, flags, process),
    asksForCertificate: wantsClientCertificate(flags),
    argv,
    flags,
    hasConfigFile: file !== undefined,
    pod,
  };
}

/** As a kubelet would start it. Only root may read kubeadm's manifests: then the one of the usual name is asked for. */
async function fromManifest(
  connection: NodeConnection,
  files: readonly ManifestFile[],
  signal?: AbortSignal,
): Promise<FoundEtcd | undefined> {
  const [readable] = podsOf(files, 'etcd');
  const pod = readable ?? (await hiddenPod(connection, files, signal));
  if (pod === undefined) return undefined;
  const supervisor = { kind: 'static-pod', manifest: pod.manifest } as const;
  return found(connection, pod.argv, pod.environment, { pid: undefined, supervisor }, signal, pod);
}

async function hiddenPod(
  connection: NodeConnection,
  files: readonly ManifestFile[],
  signal?: AbortSignal,
): Promise<StaticPod | undefined> {
  const hidden = files.find(({ path, text }) => text === undefined && path.endsWith('/etcd.yaml'));
  if (hidden === undefined) return undefined;
  const content = await readAsRoot(connection, hidden.path, signal);
  return podsOf([{ path: hidden.path, text: content.toString() }], 'etcd')[0];
}

/** `shown`: of `systemctl show`; the files that it names are read too. */
async function fromUnit(
  connection: NodeConnection,
  shown: string,
  signal?: AbortSignal,
): Promise<FoundEtcd | undefined> {
  if (!isMeantToRun(shown)) return undefined;
  const files: string[] = [];
  for (const { path, mayBeMissing } of environmentFilesOf(shown)) {
    const content = await readFiles(connection, [path], signal).catch((error: unknown) => {
      if (mayBeMissing && (error as KeyturnError).code === 'node.command-failed') return [];
      throw error;
    });
    files.push(...content.map(String));
  }
  const { argv, environment } = startedBy(shown, files);
  const supervisor = { kind: 'systemd', unit: UNIT } as const;
  return found(connection, argv, environment, { pid: undefined, supervisor }, signal);
}
