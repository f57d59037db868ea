/** Owns the scripts that stop, start and look for what runs on a node: etcd, kube-apiserver, what caches, the kubelet. */
import type { Supervisor } from '../cluster.ts';
import type { ContainerRuntime, NodeFacts } from './facts.ts';
import { dataDirLine, type Scripts } from './data-scripts.ts';
import { manifestFolder, nameOf, parentOf, type NodeLayout } from './layout.ts';
import { command, quote, script } from './shell.ts';

/** Seconds that a script waits by itself; a step's deadline lies above. systemd gives a unit 90 s to stop by default. */
const STOP_SECONDS = 150;
/** A container that has failed before may wait for five minutes until the kubelet starts it again. */
export const START_SECONDS: Readonly<Record<'static-pod' | 'systemd', number>> = { 'static-pod': 330, systemd: 60 };
const PROOF_SECONDS = 90;

const API_SERVER = 'kube-apiserver';

/** Starting takes back stopping, and the other way round: one pair of scripts serves both phases. */
export interface StopAndStart {
  readonly stop: Scripts;
  readonly start: Scripts;
}

/** What is done in one go: the lines that stop it, that start it, and how it looks when stopped and when running. */
interface Piece {
  readonly stop: readonly string[];
  readonly start: readonly string[];
  /** One condition a line. */
  readonly stopped: readonly string[];
  readonly running: readonly string[];
}

function stopAndStart(head: readonly string[], pieces: readonly Piece[]): StopAndStart {
  const stop = script(...head, ...pieces.flatMap((piece) => piece.stop));
  const backwards = [...pieces].reverse();
  const start = script(...head, ...backwards.flatMap((piece) => piece.start));
  const stopped = script(...head, ...pieces.flatMap((piece) => piece.stopped));
  const running = script(...head, ...backwards.flatMap((piece) => piece.running));
  return {
    stop: { script: stop, done: stopped, undo: start },
    start: { script: start, done: running, undo: stop },
  };
}

export function etcdScripts(facts: NodeFacts, layout: NodeLayout): StopAndStart {
  const { supervisor } = facts.etcd;
  const pieces = [
    supervised(supervisor, { name: 'etcd', gone: 'etcd_gone', runs: 'etcd_runs' }),
    ...(supervisor.kind === 'static-pod' ? kubeletPiece(facts) : []),
  ];
  return stopAndStart(headLines(facts, layout), pieces);
}

/** Undefined when there is nothing to stop on this node before etcd. */
export function apiServerScripts(facts: NodeFacts, layout: NodeLayout): StopAndStart | undefined {
  const { apiServer, kubelet, etcd } = facts;
  const component = { name: API_SERVER, gone: `gone ${API_SERVER}`, runs: `runs ${API_SERVER}` };
  const server = apiServer === undefined ? [] : [supervised(apiServer.supervisor, component)];
  const folder = kubelet?.manifests === 'folder' ? folderPiece(facts) : [];
  // A kubelet that is stopped stops no static pod: where etcd is one, it goes after etcd.
  const kubeletPieces = etcd.supervisor.kind === 'static-pod' ? [] : kubeletPiece(facts);
  const pieces = [...folder, ...server, ...kubeletPieces];
  return pieces.length === 0 ? undefined : stopAndStart(headLines(facts, layout), pieces);
}

/** A component, and the conditions that tell whether it runs. */
interface Component {
  readonly name: string;
  readonly gone: string;
  readonly runs: string;
}

function supervised(supervisor: Supervisor, { name: component, gone, runs }: Component): Piece {
  if (supervisor.kind === 'unknown') throw new TypeError('Nothing is known of what would be stopped.');
  const waitGone = waitFor(STOP_SECONDS, `${component} still runs.`, gone);
  const waitRuns = waitFor(START_SECONDS[supervisor.kind], `no process of ${component} has come up.`, runs);
  if (supervisor.kind === 'static-pod') {
    const [folder, name] = [quote(parentOf(supervisor.manifest)), quote(nameOf(supervisor.manifest))];
    const manifest = quote(supervisor.manifest);
    return {
      stop: [`move_out ${folder} ${name}`, waitGone],
      start: [`move_back ${folder} ${name}`, `[ -e ${manifest} ] || fail ${manifest} is missing.`, waitRuns],
      stopped: [`[ ! -e ${manifest} ]`, gone],
      running: [`[ -e ${manifest} ]`, runs],
    };
  }
  const unit = quote(supervisor.unit);
  return {
    stop: [`systemctl stop ${unit}`, waitGone],
    // Not waited for: etcd's unit is up only when a majority is.
    start: [`systemctl reset-failed ${unit} 2>/dev/null || :`, `systemctl start --no-block ${unit}`, waitRuns],
    stopped: [`unit_rests ${unit}`, gone],
    running: [runs],
  };
}

/** All other manifests too; etcd's own is left for when etcd is stopped. */
function folderPiece(facts: NodeFacts): readonly Piece[] {
  const path = manifestFolder(facts);
  if (path === undefined) return [];
  const { supervisor } = facts.etcd;
  const stays = quote(supervisor.kind === 'static-pod' ? nameOf(supervisor.manifest) : '');
  const pods = staticPods(facts);
  return [
    {
      stop: [
        `folder_out ${quote(path)} ${stays}`,
        ...pods.map((name) => waitFor(STOP_SECONDS, `${name} still runs.`, `gone ${name}`)),
      ],
      start: [`folder_back ${quote(path)} ${stays}`],
      stopped: pods.map((name) => `gone ${name}`),
      running: [`folder_is_back ${quote(path)} ${stays}`],
    },
  ];
}

/** The components beside kube-apiserver whose pods stop with the folder of manifests. */
function staticPods({ scheduler, controllerManager }: NodeFacts): readonly string[] {
  return [
    ...(scheduler?.kind === 'static-pod' ? ['kube-scheduler'] : []),
    ...(controllerManager?.kind === 'static-pod' ? ['kube-controller-manager'] : []),
  ];
}

function kubeletPiece({ kubelet, runtime }: NodeFacts): readonly Piece[] {
  if (kubelet === undefined || kubelet.stop === 'no') return [];
  const unit = quote(kubelet.unit);
  const containers = kubelet.stop === 'kubelet-and-containers' && runtime !== undefined ? runtime : undefined;
  return [
    {
      stop: [`systemctl stop ${unit}`, ...(containers === undefined ? [] : stopContainers(containers))],
      start: [`systemctl start ${unit}`],
      stopped: [`unit_rests ${unit}`, ...(containers === undefined ? [] : [noContainers(containers), 'no_containers'])],
      running: [`systemctl is-active --quiet ${unit}`],
    },
  ];
}

/** The word `containers`, which prints ids of those that run, and `no_containers`; both fail when the runtime can't be asked. */
function noContainers({ cli, path }: ContainerRuntime): string {
  const list = {
    crictl: command([path, 'ps', '-q']),
    // Its -q tells ended ones too.
    ctr: `tasks=$(${command([path, '-n', 'k8s.io', 'tasks', 'ls'])}) && printf '%s\\n' "$tasks" | sed -n 's/^\\([^ ]*\\) .*RUNNING.*/\\1/p'`,
    docker: command([path, 'ps', '-q', '--filter', 'label=io.kubernetes.pod.name']),
  };
  return `containers() { ${list[cli]}; }\nno_containers() { ids=$(containers) && [ -z "$ids" ]; }`;
}

/** Side by side. The first process of a container is deaf to SIGTERM unless it asked for it: after 30 s it is killed. */
function stopContainers(runtime: ContainerRuntime): readonly string[] {
  const { cli, path } = runtime;
  const each = (stop: readonly string[]): string =>
    `for id in $(containers); do ${command(stop)} "$id" >/dev/null 2>&1 & done; wait`;
  // It sends a signal, and waits for nothing.
  const signal = (name: string): string => each([path, '-n', 'k8s.io', 'tasks', 'kill', '--all', '-s', name]);
  const left = 'containers still run.';
  const stop = {
    crictl: [each([path, 'stop', '--timeout', '30'])],
    ctr: [signal('SIGTERM'), `(${waitFor(30, left, 'no_containers')}) 2>/dev/null || { ${signal('SIGKILL')}; }`],
    docker: [each([path, 'stop', '-t', '30'])],
  };
  return [noContainers(runtime), ...stop[cli], waitFor(30, left, 'no_containers')];
}

/** Ids of running containers of this name within pods; fails when the runtime can't be asked. */
function containersNamed({ cli, path }: ContainerRuntime, name: string): string {
  const label = 'io.kubernetes.container.name';
  if (cli === 'crictl') return command([path, 'ps', '-q', '--name', `^${name}$`]);
  if (cli === 'docker') return command([path, 'ps', '-q', '--filter', `label=${label}=${name}`]);
  const all = command([path, '-n', 'k8s.io', 'containers', 'ls', '-q', `labels."${label}"==${name}`]);
  const tasks = command([path, '-n', 'k8s.io', 'tasks', 'ls']);
  return `tasks=$(${tasks}) && for id in $(${all}); do printf '%s\\n' "$tasks" | grep "^$id .*RUNNING" || :; done`;
}

/** Looks again until nothing is left, and says what is left when time is up. */
export function proveStoppedScript(facts: NodeFacts): Scripts {
  const { apiServer, etcd, runtime } = facts;
  const looks = [
    `etcd_gone || left="$left a process of etcd;"`,
    ...(apiServer === undefined ? [] : [`gone ${API_SERVER} || left="$left a process of ${API_SERVER};"`]),
    ...(runtime === undefined
      ? []
      : [
          ...(etcd.supervisor.kind === 'static-pod' ? ['etcd'] : []),
          ...(apiServer?.supervisor.kind === 'static-pod' ? [API_SERVER] : []),
        ].flatMap((name) => [
          `ids=$(${containersNamed(runtime, name)}) || ids=unknown`,
          `[ -z "$ids" ] || left="$left a container of ${name};"`,
        ])),
    ...portsOf(facts).map((port) => `! port_open ${hexPort(port)} || left="$left port ${port};"`),
  ];
  const text = script(
    dataDirLine(facts),
    'left=',
    `look() {\n  left=\n${looks.map((line) => `  ${line}`).join('\n')}\n  [ -z "$left" ]\n}`,
    `end=$(($(date +%s) + ${PROOF_SECONDS}))`,
    `until look; do\n  [ "$(date +%s)" -lt "$end" ] || fail "Not stopped, there is still:$left"\n  nap\ndone`,
  );
  return { script: text, done: undefined, undo: undefined };
}

/** Where etcd listens for clients and members, and kube-apiserver; numbers, sorted. */
export function portsOf({ etcd, peerUrls, apiServer }: NodeFacts): readonly number[] {
  const urls = [...etcd.listenClientUrls, ...peerUrls];
  const ports = urls.flatMap((url) => {
    const port = /:(\d+)\/?$/.exec(url)?.[1];
    return port === undefined ? [] : [Number(port)];
  });
  const all = new Set([...ports, ...(apiServer === undefined ? [] : [apiServer.port])]);
  return [...all].sort((a, b) => a - b);
}

/** As /proc/net/tcp writes it. */
function hexPort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0');
}

/** What keeps in memory what it has read: it must read anew. Undefined when nothing of it is on this node. */
export function restartCachesScript(facts: NodeFacts): Scripts | undefined {
  const { scheduler, controllerManager, kubelet } = facts;
  const lines = [
    ...restartLines('kube-scheduler', scheduler, kubelet?.manifests === 'folder'),
    ...restartLines('kube-controller-manager', controllerManager, kubelet?.manifests === 'folder'),
    ...(kubelet?.stop === 'no' ? [`systemctl restart ${quote(kubelet.unit)}`] : []),
  ];
  return lines.length === 0 ? undefined : { script: script(...lines), done: undefined, undo: undefined };
}

/** The kubelet starts a container again that has ended. Pods that were stopped with their folder have just begun. */
function restartLines(name: string, supervisor: Supervisor | undefined, wasStopped: boolean): readonly string[] {
  if (supervisor?.kind === 'systemd') return [`systemctl restart ${quote(supervisor.unit)}`];
  if (supervisor?.kind !== 'static-pod' || wasStopped) return [];
  return [`for pid in $(pids_of ${name}); do kill -TERM "$pid" 2>/dev/null || :; done`];
}

export function headLines(facts: NodeFacts, { manifestsAside }: NodeLayout): readonly string[] {
  return [dataDirLine(facts), `manifests_aside=${quote(manifestsAside)}`];
}

export function waitFor(seconds: number, otherwise: string, condition: string): string {
  return `wait_for ${seconds} ${quote(otherwise)} ${condition}`;
}
