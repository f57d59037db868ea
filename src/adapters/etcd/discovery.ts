/** Owns how etcd is found on a node: off its running process, else off the manifest or unit that would start it. */
import { parse as parseYaml } from 'yaml';
import type { EtcdOnNode, Supervisor } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import {
  configFileOf,
  etcdFlags,
  etcdOnNode,
  isEtcdServer,
  parseEnvironmentFile,
  splitNul,
  supervisorOf,
  wantsClientCertificate,
} from '../../domain/etcd-commands.ts';
import type { NodeConnection } from '../../ports.ts';
import { readAsRoot, readFiles } from './node-files.ts';

/** kubeadm's place, and the kubelet's default by it. */
export const MANIFEST = '/etc/kubernetes/manifests/etcd.yaml';
const UNIT = 'etcd.service';

export interface FoundEtcd {
  readonly etcd: EtcdOnNode;
  readonly asksForCertificate: boolean;
}

/**
 * One look at the node without any privilege, as lines of `what pid base64`. Where no etcd runs: what systemd knows of
 * its unit, and whether there is a manifest.
 */
const LOOK = `
show() { printf '%s %s ' "$1" "$2"; base64 2>/dev/null < "$3" | tr -d '\\n'; echo; }
for d in /proc/[0-9]*; do
  read -r name 2>/dev/null < "$d/comm" || continue
  [ "$name" = etcd ] || continue
  found=1
  for f in cmdline cgroup environ; do [ -r "$d/$f" ] && show $f "\${d#/proc/}" "$d/$f"; done 2>/dev/null
done
[ -n "$found" ] && exit 0
[ -e ${MANIFEST} ] && echo 'manifest - '
systemctl show ${UNIT} -p LoadState -p WantedBy -p RequiredBy -p ExecStart -p Environment -p EnvironmentFiles 2>/dev/null |
  { printf 'unit - '; base64 | tr -d '\\n'; echo; }
exit 0`;

/** Throws node.etcd-not-found, node.sudo-denied, node.command-failed, ssh.*. */
export async function findEtcd(connection: NodeConnection, signal?: AbortSignal): Promise<FoundEtcd> {
  const { stdout } = await connection.exec(['sh', '-c', LOOK], signal === undefined ? {} : { signal });
  const seen = parseLook(stdout.toString('latin1'));
  const running = seen.processes.find(({ argv }) => isEtcdServer(argv));
  if (running !== undefined) return fromProcess(connection, running, signal);
  if (seen.hasManifest) return fromManifest(connection, signal);
  const stopped = await fromUnit(connection, seen.unit, signal);
  if (stopped !== undefined) return stopped;
  throw new KeyturnError('node.etcd-not-found', `No etcd runs on ${connection.node.name}.`, {
    hint: `There is no process "etcd", no ${MANIFEST} and no ${UNIT} there: correct the cluster's nodes, or start etcd.`,
  });
}

interface Process {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly cgroup: string;
  /** Undefined when the login may not read it. */
  readonly environment: readonly string[] | undefined;
}

interface Seen {
  readonly processes: readonly Process[];
  readonly hasManifest: boolean;
  /** `systemctl show` of the unit. */
  readonly unit: string;
}

function parseLook(text: string): Seen {
  const lines = text.split('\n').map((line) => line.split(' '));
  const get = (what: string, pid: string): Buffer | undefined => {
    const found = lines.find((line) => line[0] === what && line[1] === pid)?.[2];
    return found === undefined ? undefined : Buffer.from(found, 'base64');
  };
  const pids = lines.filter(([what]) => what === 'cmdline').map(([, pid = '']) => pid);
  return {
    processes: pids.map((pid) => {
      const environ = get('environ', pid);
      return {
        pid: Number(pid),
        argv: splitNul(get('cmdline', pid) ?? new Uint8Array()),
        cgroup: get('cgroup', pid)?.toString() ?? '',
        environment: environ === undefined || environ.length === 0 ? undefined : splitNul(environ),
      };
    }),
    hasManifest: lines.some(([what]) => what === 'manifest'),
    unit: get('unit', '-')?.toString() ?? '',
  };
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
  };
}

/** The command of the manifest's first container, as a kubelet would start it. */
async function fromManifest(connection: NodeConnection, signal?: AbortSignal): Promise<FoundEtcd> {
  const [content = Buffer.alloc(0)] = await readFiles(connection, [MANIFEST], signal);
  const pod = parseYaml(content.toString()) as {
    spec?: { containers?: { command?: string[]; args?: string[]; env?: { name: string; value?: string }[] }[] };
  };
  const container = pod.spec?.containers?.[0];
  const environment = (container?.env ?? []).map(({ name, value }) => `${name}=${value ?? ''}`);
  const supervisor = { kind: 'static-pod', manifest: MANIFEST } as const;
  const argv = [...(container?.command ?? []), ...(container?.args ?? [])];
  return found(connection, argv, environment, { pid: undefined, supervisor }, signal);
}

/** `ExecStart={ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd --flag ; …}` and the files named by EnvironmentFiles. */
async function fromUnit(
  connection: NodeConnection,
  shown: string,
  signal?: AbortSignal,
): Promise<FoundEtcd | undefined> {
  // A package brings the unit along; only one that something starts is meant to run.
  if (!shown.includes('LoadState=loaded') || !/^(WantedBy|RequiredBy)=\S/m.test(shown)) return undefined;
  const argv = /^ExecStart=.*?argv\[\]=(.*?) ;/m.exec(shown)?.[1]?.split(' ') ?? [];
  const files = [...shown.matchAll(/^EnvironmentFiles=(\S+) \(ignore_errors=(yes|no)\)$/gm)];
  const given = /^Environment=(.*)$/m.exec(shown)?.[1]?.split(' ') ?? [];
  const environment = [...given];
  for (const [, path = '', mayBeMissing] of files) {
    const content = await readFiles(connection, [path], signal).catch((error: unknown) => {
      if (mayBeMissing === 'yes' && (error as KeyturnError).code === 'node.command-failed') return [];
      throw error;
    });
    environment.push(...content.flatMap((bytes) => parseEnvironmentFile(bytes.toString())));
  }
  const supervisor = { kind: 'systemd', unit: UNIT } as const;
  return found(connection, argv, environment, { pid: undefined, supervisor }, signal);
}
