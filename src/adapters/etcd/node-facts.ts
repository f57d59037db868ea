/** Owns what follows from the looks at a node: which of them is true where they differ, and when nothing can be said. */
import { posix } from 'node:path';
import type { ClusterStatus, Supervisor } from '../../domain/cluster.ts';
import { etcdFlags, isEtcdServer, parseVersion, supervisorOf, type StatusAnswer } from '../../domain/etcd-commands.ts';
import type { DirectoryFacts, NodeFacts } from '../../domain/restore/facts.ts';
import type { RestorePolicy } from '../../domain/restore-policy.ts';
import {
  apiServerOf,
  componentOf,
  kubeletOf,
  onlyPod,
  podOr,
  runningSupervisor,
  runtimeOf,
  unsupported,
} from './components.ts';
import type { FoundEtcd } from './discovery.ts';
import { candidates, mountsBelow } from './mounts.ts';
import type { Directory, Seen, Wanted } from './programs.ts';
import { isWithin, pathOnNode, type StaticPod } from './static-pods.ts';
import type { Survey } from './survey.ts';
import { startedBy, workingDirectoryOf } from './units.ts';

/** What was seen of a node so far. */
export interface Looks {
  readonly found: FoundEtcd;
  readonly survey: Survey;
  /** What its etcd says of itself; undefined when it does not answer. */
  readonly answer: StatusAnswer | undefined;
  /** Undefined: no member of the cluster answers. */
  readonly status: ClusterStatus | undefined;
  readonly policy: Pick<RestorePolicy, 'kubelet' | 'manifests'>;
}

/** Where directories and programs have to be looked for. Throws plan.unsupported. */
export function whatToLookAt({ found, survey, answer }: Looks): Wanted {
  refuseSeveral(found, survey);
  const { etcd, argv } = found;
  const pod = etcdPod(found, survey);
  const directories = [['data', etcd.dataDir] as const, ['wal', etcd.walDir] as const].flatMap(([name, flag]) => {
    if (flag === undefined) return [];
    const inside = posix.resolve(workingDirectory(found, survey), flag);
    return [{ name, inside, candidates: onNode(inside, pod, found, survey) }];
  });
  const program = survey.etcd?.program ?? programOf(argv) ?? '';
  const isContainer = etcd.pid !== undefined && survey.etcd?.mounts !== undefined && pod !== undefined;
  const running = `/proc/${etcd.pid ?? 0}`;
  return {
    pid: etcd.pid,
    directories,
    servers:
      answer !== undefined
        ? []
        : etcd.pid !== undefined
          ? [[`${running}/exe`], ['chroot', `${running}/root`, program]]
          : pod === undefined && program !== ''
            ? [[program]]
            : [],
    folders: program.startsWith('/') ? [posix.dirname(program)] : [],
    inContainer: isContainer,
  };
}

/** Throws plan.unsupported, node.command-failed: what could not be told, and what to do about it. */
export function nodeFacts(looks: Looks, seen: Seen, tls: FoundEtcd['etcd']['tls']): NodeFacts {
  const { found, survey } = looks;
  refuseForeign(looks);
  const { node } = found.etcd;
  const dataDir = directory(found, 'data', seen.data, survey);
  refuseHiddenMounts(found, survey);
  const kubelet = kubeletOf(node, survey, looks.policy);
  return {
    node,
    etcd: { ...found.etcd, tls, supervisor: etcdSupervisor(found, survey) },
    etcdVersion: versionOf(looks, seen),
    peerUrls: peerUrlsOf(looks),
    argv: argvOf(found, survey),
    hasConfigFile: found.hasConfigFile,
    dataDir,
    walDir: walOf(found, dataDir, seen.wal, survey),
    apiServer: apiServerOf(node, survey),
    scheduler: componentOf(node, survey, 'kube-scheduler')?.supervisor,
    controllerManager: componentOf(node, survey, 'kube-controller-manager')?.supervisor,
    kubelet,
    runtime: kubelet === undefined ? undefined : runtimeOf(survey),
    tools: seen.tools,
  };
}

// ── etcd itself ──────────────────────────────────────────────────────────────────────────────────────────────────────

function refuseSeveral({ etcd: { node } }: FoundEtcd, { namedEtcd }: Survey): void {
  const servers = namedEtcd.filter(isEtcdServer);
  if (servers.length < 2) return;
  const directories = servers
    .map((argv) => etcdFlags(argv, []).get('data-dir') ?? 'an unnamed directory')
    .join(' and ');
  throw unsupported(
    `${servers.length} etcds run on ${node}, in ${directories}: which one is meant can't be told.`,
    `Stop the one on ${node} that is not of this cluster while you restore, or restore by hand.`,
  );
}

/** A node of another cluster would lose its data. One whose address the others know was only restored apart from them. */
function refuseForeign({ found, answer, status }: Looks): void {
  if (answer === undefined || status === undefined || answer.clusterId === status.clusterId) return;
  const urls = flagUrls(found);
  if (status.members.some(({ peerUrls }) => peerUrls.some((url) => urls.includes(url)))) return;
  throw unsupported(
    `etcd on ${found.etcd.node} is a member of another cluster (${answer.clusterId.toString(16)}) than the other nodes' (${status.clusterId.toString(16)}).`,
    `Correct the cluster's nodes. If this etcd is meant too, stop it first: a stopped one is taken for a member.`,
  );
}

/** The manifest that starts this etcd; throws when there are two, since a kubelet starts both. */
function etcdPod({ etcd: { node, pid }, pod }: FoundEtcd, survey: Survey): StaticPod | undefined {
  const group = survey.etcd?.cgroup;
  if (pid !== undefined && group !== undefined && supervisorOf(group, '').kind === 'systemd') return undefined;
  if (pid === undefined && pod === undefined) return undefined;
  return onlyPod(node, survey, 'etcd');
}

function etcdSupervisor(found: FoundEtcd, survey: Survey): Supervisor {
  const { pid, node, supervisor } = found.etcd;
  if (pid === undefined) return supervisor.kind === 'static-pod' ? podOr(etcdPod(found, survey)) : supervisor;
  return runningSupervisor(node, survey, 'etcd', survey.etcd?.cgroup ?? '');
}

function versionOf({ found, survey, answer }: Looks, { version }: Seen): string {
  const { node, pid } = found.etcd;
  // What an image holds is known only by its tag while none of its containers runs.
  const tag = pid === undefined ? etcdPod(found, survey)?.image.replace(/@.*$/, '').split(':').at(-1) : undefined;
  const told = answer?.version ?? version ?? tag;
  const parsed = told === undefined ? undefined : parseVersion(told);
  if (parsed !== undefined) return `${parsed.major}.${parsed.minor}.${parsed.patch}`;
  throw unsupported(
    `The version of etcd on ${node} is not known: it does not answer, and no program of it could be asked.`,
    pid === undefined
      ? `Start etcd on ${node}, or name its version in the tag of the manifest's image.`
      : `See that etcd on ${node} answers, or stop it.`,
  );
}

/** The member list knows better than flags, which etcd looks at only once. */
function peerUrlsOf({ found, status }: Looks): readonly string[] {
  const member = status?.members.find(({ node }) => node === found.etcd.node);
  return member !== undefined && member.peerUrls.length > 0 ? member.peerUrls : flagUrls(found);
}

function flagUrls({ flags }: FoundEtcd): readonly string[] {
  const given = flags.get('initial-advertise-peer-urls') ?? '';
  return given
    .split(',')
    .map((url) => url.trim())
    .filter((url) => url !== '');
}

/** Empty where the unit starts something else that starts etcd: what that adds is not known. */
function argvOf({ argv, etcd }: FoundEtcd, survey: Survey): readonly string[] {
  const [program = '', ...rest] = argv;
  if (etcd.pid === undefined) return argv;
  const unit = startedBy(survey.units.etcd.shown, survey.units.etcd.files).argv[0];
  if (unit !== undefined && posix.basename(unit) !== 'etcd') return [];
  return [program.startsWith('/') ? program : (survey.etcd?.program ?? program), ...rest];
}

function programOf(argv: readonly string[]): string | undefined {
  return argv.find((word) => /^\/(\S*\/)?etcd$/.test(word)) ?? /(^|\s)(\/\S*\/etcd)(?=\s|$)/.exec(argv.join(' '))?.[2];
}

// ── Its directories ──────────────────────────────────────────────────────────────────────────────────────────────────

function workingDirectory({ etcd }: FoundEtcd, survey: Survey): string {
  if (etcd.pid === undefined) return workingDirectoryOf(survey.units.etcd.shown);
  return survey.etcd === undefined ? '/' : survey.etcd.workingDirectory;
}

/**
 * A manifest's own words and etcd's own path before what the mounts tell: where the node has such a directory in two
 * places, one of them a mount point, it is by these that etcd will find what is put there.
 */
function onNode(
  inside: string,
  pod: StaticPod | undefined,
  { etcd }: FoundEtcd,
  { etcd: process, mounts }: Survey,
): readonly string[] {
  const byManifest = pod === undefined ? undefined : pathOnNode(pod, inside);
  const told = byManifest === undefined ? [] : [byManifest];
  if (etcd.pid === undefined) return pod === undefined ? [inside] : told;
  return [...told, inside, ...candidates(inside, process?.mounts ?? [], mounts)];
}

function directory(
  { etcd }: FoundEtcd,
  name: 'data' | 'wal',
  seen: Directory | undefined,
  survey: Survey,
): DirectoryFacts {
  const [what, flag] = name === 'data' ? ['data', etcd.dataDir] : ['WAL', etcd.walDir ?? ''];
  if (seen === undefined) {
    throw unsupported(
      `The ${what} directory of etcd on ${etcd.node}, ${flag}, was not found on the node.`,
      `If it is gone, make it anew (empty, mode 0700, with etcd's owner); if it is in a container only, restore by hand.`,
    );
  }
  return {
    ...seen,
    isMountPoint: survey.mounts.some(({ point }) => point === seen.path),
    mountsInside: mountsBelow(seen.path, survey.mounts),
  };
}

/** It moves along with the data directory where it lies in it. */
function walOf(
  found: FoundEtcd,
  data: DirectoryFacts,
  seen: Directory | undefined,
  survey: Survey,
): DirectoryFacts | undefined {
  if (found.etcd.walDir === undefined) return undefined;
  const wal = directory(found, 'wal', seen, survey);
  return isWithin(data.path, wal.path) && !wal.isMountPoint ? undefined : wal;
}

/** What is mounted over part of the data for etcd alone would not be swapped with the rest. */
function refuseHiddenMounts(found: FoundEtcd, survey: Survey): void {
  const { etcd } = found;
  const inside = posix.resolve(workingDirectory(found, survey), etcd.dataDir);
  const points = [
    ...(survey.etcd?.mounts ?? []).map(({ point }) => point),
    ...(etcdPod(found, survey)?.mounts ?? []).map((mount) => mount.inside),
  ];
  // What the node itself has mounted there is told with the directory.
  const known = etcdPod(found, survey) === undefined ? survey.mounts.map(({ point }) => point) : [];
  const hidden = points.find(
    (point) => point !== inside && isWithin(inside, point) && point !== etcd.walDir && !known.includes(point),
  );
  if (hidden === undefined) return;
  throw unsupported(
    `etcd on ${etcd.node} has ${hidden}, inside its data directory, from elsewhere.`,
    `Name it with --wal-dir if it is the write-ahead log, or restore ${etcd.node} by hand.`,
  );
}
