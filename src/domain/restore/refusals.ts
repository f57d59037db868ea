/** Owns when no restore can be planned, and what people must know before they approve one. */
import { KeyturnError } from '../error.ts';
import { canBumpRevision, parseVersion, restoreTools, sameMinor } from '../etcd-commands.ts';
import { isFound, isVerified } from '../snapshot.ts';
import type { EtcdTool, NodeFacts, RestoreInput } from './facts.ts';

/** Room that logs and the first writes need, in bytes, beside the data themselves. */
const SPARE = 256 * 1024 ** 2;

/** Bytes that a node must have free: the snapshot, and the data made of it beside the old. */
export function bytesNeeded(snapshotSize: number): number {
  return 2 * snapshotSize + SPARE;
}

/** The nodes that get the snapshot itself. */
export function restoringNodes({ mode, nodes }: RestoreInput): readonly NodeFacts[] {
  return mode === 'one-member' ? nodes.slice(0, 1) : nodes;
}

/** Throws plan.*, with what to do next, at the first reason against a restore. */
export function refuse(input: RestoreInput): void {
  refuseNames(input);
  refuseForeign(input);
  refuseMissing(input);
  input.nodes.forEach((facts) => refuseNode(facts, input));
  restoringNodes(input).forEach(restoreToolOf);
  refuseVersions(input.nodes);
  if (input.mode === 'one-member') input.nodes.slice(1).forEach(refuseJoin);
}

/** The tool that restores on this node: one that bumps revisions before one that can't, then the one meant for it, then the newest. */
export function restoreToolOf(facts: NodeFacts): EtcdTool {
  const wanted = restoreTools(facts.etcdVersion);
  const rank = (tool: EtcdTool): number[] => [
    canBumpRevision(tool.version) ? 0 : 1,
    wanted.indexOf(tool.name),
    -(parseVersion(tool.version)?.patch ?? 0),
    tool.from === 'node' ? 0 : 1,
  ];
  const tool = usable(facts)
    .filter(({ name }) => wanted.includes(name))
    .sort((a, b) => compare(rank(a), rank(b)) || (a.path < b.path ? -1 : 1))[0];
  if (tool !== undefined) return tool;
  const names = wanted.join(' or ');
  throw new KeyturnError('plan.no-tool', `${facts.node} has no tool that restores etcd ${facts.etcdVersion}.`, {
    hint:
      names === ''
        ? 'Keyturn restores etcd 3.4 and later 3.x: upgrade, or restore by hand.'
        : `Put ${names} ${minorOf(facts.etcdVersion)}.x on ${facts.node}, in /usr/local/bin.`,
  });
}

/** etcdctl on the node itself: it is used while no etcd runs there. Throws plan.no-tool. */
export function joinToolOf(facts: NodeFacts): EtcdTool {
  const tool = usable(facts).find(({ name, from }) => name === 'etcdctl' && from === 'node');
  if (tool !== undefined) return tool;
  throw new KeyturnError('plan.no-tool', `${facts.node} has no etcdctl, which adds it to the restored cluster.`, {
    hint: `Put etcdctl ${minorOf(facts.etcdVersion)}.x on ${facts.node}, in /usr/local/bin, or restore with all-members.`,
  });
}

/** A tool of another minor version writes another form of data; one in a container is at hand only while etcd runs. */
function usable({ tools, etcdVersion, etcd }: NodeFacts): readonly EtcdTool[] {
  return tools.filter(
    ({ version, from }) => sameMinor(version, etcdVersion) && (from === 'node' || etcd.pid !== undefined),
  );
}

function compare(a: readonly number[], b: readonly number[]): number {
  return a.map((value, i) => value - (b[i] ?? 0)).find((difference) => difference !== 0) ?? 0;
}

function minorOf(version: string): string {
  const parsed = parseVersion(version);
  return parsed === undefined ? version : `${parsed.major}.${parsed.minor}`;
}

function unsupported(message: string, hint: string): KeyturnError {
  return new KeyturnError('plan.unsupported', message, { hint });
}

function refuseNames({ request, nodes }: RestoreInput): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(request)) {
    throw unsupported(`The request's id "${request}" can't name a directory.`, 'Report this as a bug.');
  }
  const names = nodes.map(({ etcd }) => etcd.memberName);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw unsupported(`Two members have the name "${twice}".`, 'Give each etcd a --name of its own.');
  }
  const odd = names.find((name) => name === '' || /[=,]/.test(name));
  if (odd !== undefined) {
    throw unsupported(`--initial-cluster can't hold the member's name "${odd}".`, 'Give that etcd another --name.');
  }
  const urls = nodes.flatMap(({ peerUrls }) => peerUrls);
  const shared = urls.find((url, i) => urls.indexOf(url) !== i);
  if (shared !== undefined) {
    throw unsupported(`Two members have the peer URL ${shared}.`, 'Correct --initial-advertise-peer-urls.');
  }
}

/** By its name: every restore gives a cluster another id, and its older snapshots must stay of use. */
function refuseForeign({ snapshot, cluster, foreignSnapshotConfirmed }: RestoreInput): void {
  if (foreignSnapshotConfirmed || snapshot.cluster === cluster) return;
  throw new KeyturnError(
    'plan.foreign-snapshot',
    `Snapshot ${snapshot.id} is of cluster ${snapshot.cluster}, not of ${cluster}.`,
    { hint: 'If you mean this snapshot, ask again and confirm that it is of another cluster.' },
  );
}

function refuseMissing({ missing, nodes, status, cluster }: RestoreInput): void {
  const [first] = missing;
  if (first !== undefined) {
    throw new KeyturnError('plan.node-missing', `${first.node} was not reached: ${first.message}`, {
      hint: `${first.hint} A restore touches every member, or what is left would go on with the old data.`,
    });
  }
  if (nodes.length === 0) {
    throw new KeyturnError('plan.node-missing', `No etcd was found on the nodes of ${cluster}.`, {
      hint: `Correct the nodes of ${cluster} in the configuration.`,
    });
  }
  const known = new Set(nodes.flatMap(({ node, peerUrls }) => [node, ...peerUrls]));
  const stranger = status?.members.find(
    ({ node, peerUrls }) => ![node ?? '', ...peerUrls].some((name) => known.has(name)),
  );
  if (stranger !== undefined) {
    throw new KeyturnError(
      'plan.node-missing',
      `Member "${stranger.name}" (${stranger.peerUrls.join(', ')}) runs on no configured node of ${cluster}.`,
      { hint: 'Add its node to the configuration, or remove the member from etcd.' },
    );
  }
}

function refuseNode(facts: NodeFacts, { snapshot }: RestoreInput): void {
  const { node, etcd, apiServer, kubelet, dataDir, peerUrls } = facts;
  if (etcd.supervisor.kind === 'unknown' || apiServer?.supervisor.kind === 'unknown') {
    const what = etcd.supervisor.kind === 'unknown' ? 'etcd' : 'kube-apiserver';
    throw unsupported(
      `${what} on ${node} is neither a systemd unit nor a static pod.`,
      `Run ${what} under systemd or as a static pod; Keyturn could not stop and start it.`,
    );
  }
  const pod = [etcd.supervisor, apiServer?.supervisor].some((supervisor) => supervisor?.kind === 'static-pod');
  if (pod && kubelet === undefined) {
    throw unsupported(`${node} has static pods and no kubelet's unit was found.`, 'Run the kubelet under systemd.');
  }
  if (peerUrls.length === 0) {
    throw unsupported(`The peer URLs of etcd on ${node} are not known.`, 'Set --initial-advertise-peer-urls.');
  }
  const needed = bytesNeeded(snapshot.size);
  if (dataDir.freeBytes < needed) {
    throw new KeyturnError(
      'plan.no-space',
      `${node} has ${mebibytes(dataDir.freeBytes)} free beside ${dataDir.path}, ${mebibytes(needed)} are needed.`,
      { hint: `Free space on ${node}; old data of earlier restores can go with /etcd cleanup.` },
    );
  }
}

function refuseVersions(nodes: readonly NodeFacts[]): void {
  const [first] = nodes;
  const other = nodes.find(({ etcdVersion }) => first !== undefined && !sameMinor(etcdVersion, first.etcdVersion));
  if (first === undefined || other === undefined) return;
  throw unsupported(
    `etcd is ${first.etcdVersion} on ${first.node} and ${other.etcdVersion} on ${other.node}.`,
    'Finish the upgrade first: all members of a restored cluster start from data of one version.',
  );
}

function refuseJoin(facts: NodeFacts): void {
  joinToolOf(facts);
  if (facts.walDir?.isMountPoint === true) {
    throw unsupported(
      `The write-ahead log of etcd on ${facts.node} is a mount point, in which a new member can't begin one.`,
      'Restore with all-members.',
    );
  }
  if (facts.etcd.supervisor.kind === 'systemd' && (facts.hasConfigFile || facts.argv.length === 0)) {
    throw unsupported(
      `etcd on ${facts.node} takes no flags that would let it join: it has a configuration file.`,
      'Restore with all-members.',
    );
  }
}

/** Versions of etcd that are known to be bad (etcd's changelogs), from and to inclusive, as [minor, patch, patch]. */
const BAD: readonly (readonly [minor: number, from: number, to: number, why: string])[] = [
  [5, 0, 2, 'may corrupt data when it is killed under load'],
  [5, 0, 5, 'may crash while it is defragmented'],
  [5, 5, 5, 'may lose its authentication'],
  [4, 20, 21, 'may lose its authentication'],
];

/** Full sentences; nothing in them changes while people think, or the plan made anew would be another. */
export function warningsOf(input: RestoreInput): readonly string[] {
  const { snapshot, nodes, status, mode } = input;
  const without = restoringNodes(input).filter((facts) => !canBumpRevision(restoreToolOf(facts).version));
  const learners = (status?.members ?? []).filter(({ isLearner }) => isLearner).map(({ name }) => name);
  return [
    ...(snapshot.cluster === input.cluster ? [] : [`The snapshot is of another cluster: ${snapshot.cluster}.`]),
    ...(isFound(snapshot)
      ? [
          'The snapshot was written by another tool: of which cluster it is, and by which version of etcd, is not known.',
        ]
      : []),
    ...(isFound(snapshot) || status === undefined || String(status.clusterId) === snapshot.clusterId
      ? []
      : ['The cluster has another id than in the snapshot: it was restored or made anew since.']),
    ...(isVerified(snapshot) ? [] : ['The snapshot was stored without a check of its own hash.']),
    ...(without.length === 0
      ? []
      : [
          `Revisions go back, since the tools on ${list(without.map(({ node }) => node))} can't raise them (that came with etcd 3.4.27 and 3.5.10): restart every controller and operator that watches the API, or it may miss changes.`,
        ]),
    ...(!isFound(snapshot) && nodes.some(({ etcdVersion }) => !sameMinor(etcdVersion, snapshot.etcdVersion))
      ? [`The snapshot was made by etcd ${snapshot.etcdVersion}, and the cluster runs ${versions(nodes)}.`]
      : []),
    ...BAD.flatMap(([minor, from, to, why]) => {
      const bad = nodes.filter(({ etcdVersion }) => {
        const version = parseVersion(etcdVersion);
        return version?.minor === minor && version.patch >= from && version.patch <= to;
      });
      return bad.length === 0 ? [] : [`etcd ${versions(bad)} on ${list(bad.map(({ node }) => node))} ${why}: upgrade.`];
    }),
    ...(status === undefined ? ['No member of the cluster answers: what it holds now was not looked at.'] : []),
    ...(nodes.length === 1 ? ['The cluster has a single member: nothing serves until the restore is over.'] : []),
    ...(learners.length === 0 ? [] : [`The learner ${list(learners)} becomes a full member.`]),
    ...(mode === 'one-member' ? joinWarnings(nodes) : []),
  ];
}

function joinWarnings([first, ...others]: readonly NodeFacts[]): readonly string[] {
  const kept = others.filter(({ etcd }) => etcd.supervisor.kind === 'static-pod').map(({ node }) => node);
  return [
    `Only ${first?.node ?? ''} gets the snapshot; the others copy from it, and until the second has caught up there is no redundancy.`,
    ...(kept.length === 0
      ? []
      : [`The manifest of etcd on ${list(kept)} keeps --initial-cluster-state=existing; the original lies aside.`]),
  ];
}

function versions(nodes: readonly NodeFacts[]): string {
  return list([...new Set(nodes.map(({ etcdVersion }) => etcdVersion))].sort());
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 1024 ** 2)} MiB`;
}

function list(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`;
}
