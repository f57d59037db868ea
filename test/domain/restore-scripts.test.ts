import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { PhaseName, Plan, Step } from '../../src/domain/plan.ts';
import { makeRestorePlan } from '../../src/domain/restore-plan.ts';
import type { DirectoryFacts, EtcdTool, NodeFacts, RestoreInput } from '../../src/domain/restore/facts.ts';
import { script } from '../../src/domain/restore/shell.ts';
import { nodeFacts, restoreInput, unit } from './restore-facts.ts';

vi.setConfig({ testTimeout: 60_000 });

// The scripts run for real, in a directory of their own. What they would ask of the node's systemd, they ask of a program
// that writes down what it was asked.

let root: string;
let bin: string;
/** What scripts see as /proc: the processes of this test, and no etcd or kube-scheduler that somebody else runs here. */
let proc: string;
const started: ChildProcess[] = [];

beforeEach(() => {
  // A name that a careless script would take apart.
  root = mkdtempSync(join(tmpdir(), "keyturn $(x) 'q' "));
  bin = join(root, 'bin');
  proc = mkdtempSync(join(tmpdir(), 'keyturn-proc-'));
  symlinkSync('/proc/net', join(proc, 'net'));
  mkdirSync(bin);
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(proc, { recursive: true, force: true });
  rmSync(root, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number | null;
  readonly err: string;
}

function run(text: string): Outcome {
  const env = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const seen = text.replaceAll('/proc/', `${proc}/`);
  const { status, stderr } = spawnSync('sh', ['-c', seen], { env, encoding: 'utf8', timeout: 20_000 });
  return { code: status, err: stderr };
}

function passes(text: string): void {
  expect(run(text)).toEqual({ code: 0, err: '' });
}

function program(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

/** Every file below a directory, with its content. */
function tree(directory: string, below = ''): Readonly<Record<string, string>> {
  return Object.assign(
    {},
    ...readdirSync(join(directory, below), { withFileTypes: true }).map((entry) => {
      const path = join(below, entry.name);
      if (entry.isDirectory()) return { [`${path}/`]: '', ...tree(directory, path) };
      return { [path]: readFileSync(join(directory, path), 'utf8') };
    }),
  ) as Record<string, string>;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

const owner = (): { uid: number; gid: number } => ({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });

function directory(path: string, change: Partial<DirectoryFacts> = {}): DirectoryFacts {
  return { path, ...owner(), isMountPoint: false, mountsInside: [], freeBytes: 1e12, ...change };
}

function stepOf(plan: Plan, phase: PhaseName, node = 'cp1'): Step {
  const step = plan.phases.find(({ name }) => name === phase)?.steps.find((other) => other.node === node);
  if (step === undefined) throw new Error(`There is no step ${phase}.${node}.`);
  return step;
}

function textOf({ action }: Step): string {
  if (action.kind !== 'script') throw new Error('This step is no script.');
  return action.script;
}

/** etcdctl and etcdutl in one: restores the file's text, adds and promotes members in a file `members`. */
function etcdTool(name: EtcdTool['name']): EtcdTool {
  const path = join(root, 'tools', name);
  program(
    path,
    `members="$(dirname "$0")/members"
case "$*" in
  version) echo "${name} version: 3.5.16" ;;
  *"snapshot restore"*)
    file=$3
    for word in "$@"; do
      case $word in
        --data-dir=*) data=\${word#*=} ;;
        --wal-dir=*) wal=\${word#*=} ;;
        --name=*) own=\${word#*=} ;;
      esac
    done
    [ ! -e "$data" ] || exit 1
    mkdir -p "$data/member/snap" "\${wal:=$data/member/wal}"
    cat "$file" > "$data/member/snap/db"
    echo "new log of $own" > "$wal/0.wal" ;;
  *"member list"*) cat "$members" ;;
  *"member add"*)
    for word in "$@"; do case $word in --peer-urls=*) url=\${word#*=} ;; esac; done
    echo "b2, unstarted, , $url, , true" >> "$members" ;;
  *"member promote b2"*) sed 's/^b2, .*, , \\(http[^,]*\\), , true/b2, started, cp2, \\1, http:\\/\\/b:2379, false/' "$members" > "$members.new" && mv "$members.new" "$members" ;;
  *) exit 9 ;;
esac`,
  );
  const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
  return { name, version: '3.5.16', path, from: 'node', sha256 };
}

function planWith(change: Partial<NodeFacts>, input: Partial<RestoreInput> = {}): Plan {
  const dataDir = change.dataDir ?? directory(join(root, 'etcd'));
  const base = nodeFacts(1);
  const etcd = { ...base.etcd, supervisor: unit('etcd'), dataDir: dataDir.path, ...change.etcd };
  const node = { ...base, tools: [etcdTool('etcdutl'), etcdTool('etcdctl')], ...change, dataDir, etcd };
  return makeRestorePlan(restoreInput({ nodes: [node], ...input }));
}

// ── Data ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Disk {
  readonly name: string;
  readonly change: () => Partial<NodeFacts>;
  /** Where the live log lies, from the root. */
  readonly wal: string;
}

const withWal = (walDir: string): NodeFacts['etcd'] => ({
  ...nodeFacts(1).etcd,
  supervisor: unit('etcd'),
  dataDir: join(root, 'etcd'),
  walDir,
});

const DISKS: readonly Disk[] = [
  { name: 'a directory', change: () => ({}), wal: 'etcd/member/wal' },
  {
    name: 'a mount point',
    change: () => ({ dataDir: directory(join(root, 'etcd'), { isMountPoint: true }) }),
    wal: 'etcd/member/wal',
  },
  {
    name: 'a log in a directory of its own',
    change: () => ({ etcd: withWal(join(root, 'wal')), walDir: directory(join(root, 'wal')) }),
    wal: 'wal',
  },
  {
    name: 'a log on a mount point',
    change: () => ({
      etcd: withWal(join(root, 'wal')),
      walDir: directory(join(root, 'wal'), { isMountPoint: true }),
    }),
    wal: 'wal',
  },
  {
    name: 'a log elsewhere below the data',
    change: () => ({ etcd: withWal(join(root, 'etcd/fast/log')) }),
    wal: 'etcd/fast/log',
  },
  {
    name: 'a log on a mount point within the data',
    change: () => ({
      etcd: withWal(join(root, 'etcd/log')),
      dataDir: directory(join(root, 'etcd'), { mountsInside: [join(root, 'etcd/log')] }),
      walDir: directory(join(root, 'etcd/log'), { isMountPoint: true }),
    }),
    wal: 'etcd/log',
  },
];

/** Old data in place, the snapshot fetched. */
function oldData({ wal }: Disk, plan: Plan): void {
  write(join(root, 'etcd/member/snap/db'), 'old');
  write(join(root, wal, '0.wal'), 'old log');
  write(join(root, wal, '1.wal'), 'old log too');
  const { action } = stepOf(plan, 'fetch');
  if (action.kind === 'fetch') write(action.path, 'restored');
}

/** What etcd would find now. */
function live({ wal }: Disk): readonly string[] {
  const logs = readdirSync(join(root, wal)).filter((name) => !name.startsWith('keyturn-'));
  return [
    readFileSync(join(root, 'etcd/member/snap/db'), 'utf8'),
    ...logs.sort().map((name) => readFileSync(join(root, wal, name), 'utf8').trim()),
  ];
}

const OLD = ['old', 'old log', 'old log too'];
const RESTORED = ['restored', 'new log of cp1'];

/** An `mv` that ends the script at its nth call: before it has moved anything, or just after. */
function breakAt(nth: number, when: 'before' | 'after'): void {
  writeFileSync(join(root, 'moves'), '');
  program(
    join(bin, 'mv'),
    `printf . >> "$(dirname "$0")/../moves"
if [ "$(wc -c < "$(dirname "$0")/../moves")" -ne ${nth} ]; then exec /bin/mv "$@"; fi
${when === 'after' ? '/bin/mv "$@"\n' : ''}kill -KILL "$PPID"`,
  );
}

function unbroken(): void {
  rmSync(join(bin, 'mv'), { force: true });
  rmSync(join(root, 'moves'), { force: true });
}

describe.each(DISKS)('data on $name', (disk) => {
  test('are restored beside the live ones, swapped in, and the old ones lie where the plan says', () => {
    const plan = planWith(disk.change());
    oldData(disk, plan);
    passes(textOf(stepOf(plan, 'prepare')));
    expect(live(disk)).toEqual(OLD);
    expect(run(stepOf(plan, 'prepare').done ?? '').code).toBe(0);
    expect(run(stepOf(plan, 'swap').done ?? '').code).not.toBe(0);
    passes(textOf(stepOf(plan, 'swap')));
    expect(live(disk)).toEqual(RESTORED);
    passes(stepOf(plan, 'swap').done ?? '');
    const put = (plan.members[0]?.oldData ?? []).map((path) => Object.values(tree(path)).join());
    expect(put.join()).toContain('old log too');
    for (const path of plan.members[0]?.oldData ?? []) expect(statSync(path).isDirectory()).toBe(true);
  });

  test('are put back by the undo, which keeps the restored ones', () => {
    const plan = planWith(disk.change());
    oldData(disk, plan);
    passes(textOf(stepOf(plan, 'prepare')));
    const before = tree(root);
    passes(textOf(stepOf(plan, 'swap')));
    passes(stepOf(plan, 'swap').undo ?? '');
    expect(tree(root)).toEqual(before);
    passes(textOf(stepOf(plan, 'swap')));
    expect(live(disk)).toEqual(RESTORED);
  });

  test('are whole after a swap or an undo that was cut off anywhere and run again', () => {
    const plan = planWith(disk.change());
    oldData(disk, plan);
    passes(textOf(stepOf(plan, 'prepare')));
    const before = tree(root);
    const [swap, back] = [textOf(stepOf(plan, 'swap')), stepOf(plan, 'swap').undo ?? ''];
    let cuts = 0;
    for (const when of ['before', 'after'] as const) {
      for (let nth = 1; nth <= 12; nth += 1) {
        breakAt(nth, when);
        const wasCut = run(swap).code !== 0;
        unbroken();
        if (nth % 2 === 0) {
          passes(back);
          expect(tree(root)).toEqual(before);
        }
        passes(swap);
        expect(live(disk)).toEqual(RESTORED);
        passes(stepOf(plan, 'swap').done ?? '');
        breakAt(nth, when);
        const undoWasCut = run(back).code !== 0;
        unbroken();
        passes(back);
        expect(tree(root)).toEqual(before);
        cuts += Number(wasCut) + Number(undoWasCut);
        if (!wasCut && !undoWasCut) break;
      }
    }
    expect(cuts).toBeGreaterThanOrEqual(8);
  });

  test('that were never touched are left alone by every undo', () => {
    const plan = planWith(disk.change());
    oldData(disk, plan);
    const { action } = stepOf(plan, 'fetch');
    passes(stepOf(plan, 'swap').undo ?? '');
    passes(stepOf(plan, 'prepare').undo ?? '');
    passes(stepOf(plan, 'fetch').undo ?? '');
    expect(live(disk)).toEqual(OLD);
    expect(action.kind === 'fetch' && existsSync(action.path)).toBe(false);
  });
});

test('a restore that was cut off is begun anew, and leaves no half of it', () => {
  const plan = planWith({});
  const [disk] = DISKS;
  if (disk === undefined) throw new Error('no disk');
  oldData(disk, plan);
  write(join(root, 'etcd.keyturn-r1.new.part/member/snap/db'), 'half');
  passes(textOf(stepOf(plan, 'prepare')));
  passes(textOf(stepOf(plan, 'prepare')));
  expect(readFileSync(join(root, 'etcd.keyturn-r1.new/member/snap/db'), 'utf8')).toBe('restored');
  expect(readdirSync(root).sort()).toEqual(['bin', 'etcd', 'etcd.keyturn-r1.new', 'tools']);
  expect(statSync(join(root, 'etcd.keyturn-r1.new')).mode & 0o777).toBe(0o700);
});

test('restored data are not removed while they are in place of the old', () => {
  const plan = planWith({});
  const [disk] = DISKS;
  if (disk === undefined) throw new Error('no disk');
  oldData(disk, plan);
  passes(textOf(stepOf(plan, 'prepare')));
  passes(textOf(stepOf(plan, 'swap')));
  expect(run(stepOf(plan, 'prepare').undo ?? '')).toMatchObject({ code: 1 });
  expect(live(disk)).toEqual(RESTORED);
});

test('nothing is put into a directory that appeared in the way', () => {
  const plan = planWith({});
  const [disk] = DISKS;
  if (disk === undefined) throw new Error('no disk');
  oldData(disk, plan);
  passes(textOf(stepOf(plan, 'prepare')));
  breakAt(1, 'after');
  run(textOf(stepOf(plan, 'swap')));
  unbroken();
  write(join(root, 'etcd/strange'), 'x');
  const swapped = run(textOf(stepOf(plan, 'swap')));
  expect(swapped.code).toBe(1);
  expect(swapped.err).toContain('is in the way');
  expect(existsSync(join(root, 'etcd.keyturn-r1.new/member'))).toBe(true);
});

// ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A process that looks like this one to /proc; resolves when it is up. */
async function process_(name: string, ...args: readonly string[]): Promise<ChildProcess> {
  const path = join(root, 'run', name);
  program(path, 'echo up\nread line\nexit 0');
  const child = spawn(path, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  seenByScripts(child);
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child;
}

function seenByScripts(child: ChildProcess): void {
  started.push(child);
  symlinkSync(`/proc/${child.pid}`, join(proc, String(child.pid)));
}

async function ended(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

const etcdHere = (): string => `data_dir='${join(root, 'etcd').replaceAll("'", "'\\''")}'`;

test('data are not swapped while an etcd of this directory runs; one of another directory does not matter', async () => {
  const plan = planWith({});
  const [disk] = DISKS;
  if (disk === undefined) throw new Error('no disk');
  oldData(disk, plan);
  passes(textOf(stepOf(plan, 'prepare')));
  const other = await process_('etcd', `--data-dir=${join(root, 'etcd')}-events`);
  expect(run(script(etcdHere(), 'etcd_gone')).code).toBe(0);
  const own = await process_('etcd', '--data-dir', join(root, 'etcd'));
  expect(run(textOf(stepOf(plan, 'swap')))).toEqual({ code: 1, err: 'etcd runs: its data are not touched.\n' });
  expect(live(disk)).toEqual(OLD);
  await ended(own);
  passes(textOf(stepOf(plan, 'swap')));
  await ended(other);
});

test('a program is found by its name, run by itself or by a shell, and not where others only speak of it', async () => {
  const name = `kube-t${process.pid}`;
  expect(run(script(`runs ${name}`)).code).toBe(1);
  const talker = spawn('sh', ['-c', `read line # ${name}`], { stdio: ['pipe', 'ignore', 'ignore'] });
  seenByScripts(talker);
  expect(run(script(`gone ${name}`)).code).toBe(0);
  const child = await process_(name);
  expect(run(script(`runs ${name}`)).code).toBe(0);
  await ended(child);
  expect(run(script(`gone ${name}`)).code).toBe(0);
});

test('a port that is listened on is open, and closed afterwards', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const hex = (server.address() as AddressInfo).port.toString(16).toUpperCase().padStart(4, '0');
  expect(run(script(`port_open ${hex}`)).code).toBe(0);
  await new Promise((resolve) => server.close(resolve));
  expect(run(script(`port_open ${hex}`)).code).toBe(1);
});

// ── Manifests and units ──────────────────────────────────────────────────────────────────────────────────────────────

const POD = `spec:
  containers:
  - command:
    - etcd
    - --initial-cluster=cp2=http://b:2380
    - --initial-cluster-state=new
    - --name=cp2
`;

/** Static pods in a folder of this test's own. */
function pods(): Partial<NodeFacts> {
  const manifest = (name: string): { kind: 'static-pod'; manifest: string } => {
    const path = join(root, 'k8s/manifests', `${name}.yaml`);
    write(path, name === 'etcd' ? POD : name);
    return { kind: 'static-pod', manifest: path };
  };
  write(join(root, 'k8s/manifests/other.yaml'), 'other');
  return {
    etcd: { ...nodeFacts(1).etcd, supervisor: manifest('etcd'), dataDir: join(root, 'etcd') },
    apiServer: { supervisor: manifest('kube-apiserver'), port: 6443 },
    scheduler: undefined,
    controllerManager: undefined,
    runtime: undefined,
  };
}

const manifests = (): readonly string[] => readdirSync(join(root, 'k8s/manifests')).sort();

test('the manifest of etcd is moved aside once, and comes back as it was', async () => {
  const plan = planWith(pods());
  const stop = stepOf(plan, 'stop-etcd');
  passes(textOf(stop));
  passes(textOf(stop));
  passes(stop.done ?? '');
  expect(manifests()).toEqual(['kube-apiserver.yaml', 'other.yaml']);
  const etcd = await process_('etcd', `--data-dir=${join(root, 'etcd')}`);
  expect(run(stop.done ?? '').code).not.toBe(0);
  passes(stop.undo ?? '');
  passes(stop.undo ?? '');
  passes(stepOf(plan, 'start-etcd').done ?? '');
  expect(readFileSync(join(root, 'k8s/manifests/etcd.yaml'), 'utf8')).toBe(POD);
  await ended(etcd);
});

test('a manifest whose way back was cut off comes back', async () => {
  const plan = planWith(pods());
  passes(textOf(stepOf(plan, 'stop-etcd')));
  await process_('etcd', `--data-dir=${join(root, 'etcd')}`);
  breakAt(1, 'after');
  expect(run(textOf(stepOf(plan, 'start-etcd'))).code).not.toBe(0);
  unbroken();
  expect(manifests()).not.toContain('etcd.yaml');
  passes(textOf(stepOf(plan, 'start-etcd')));
  expect(manifests()).toContain('etcd.yaml');
});

test('a folder of manifests goes aside but for etcd’s, the kubelet after it, and comes back whole', () => {
  program(
    join(bin, 'systemctl'),
    `echo "$*" >> "$(dirname "$0")/../asked"\ncase $1 in show) echo ActiveState=inactive ;; esac`,
  );
  const kubelet = { unit: 'kubelet.service', stop: 'kubelet', manifests: 'folder' } as const;
  const plan = planWith({
    ...pods(),
    etcd: { ...nodeFacts(1).etcd, supervisor: unit('etcd'), dataDir: join(root, 'etcd') },
    kubelet,
    apiServer: pods().apiServer,
  });
  rmSync(join(root, 'k8s/manifests/etcd.yaml'));
  const stop = stepOf(plan, 'stop-apiservers');
  passes(textOf(stop));
  passes(stop.done ?? '');
  expect(manifests()).toEqual([]);
  expect(readFileSync(join(root, 'asked'), 'utf8')).toContain('stop kubelet.service');
  const quoted = (path: string): string => `'${join(root, path).replaceAll("'", "'\\''")}'`;
  passes(script(`manifests_aside=${quoted('k8s/keyturn-r1')}`, `folder_back ${quoted('k8s/manifests')} ''`));
  expect(manifests()).toEqual(['kube-apiserver.yaml', 'other.yaml']);
});

test('where etcd is a static pod, its manifest and the kubelet stay until etcd is stopped', () => {
  program(
    join(bin, 'systemctl'),
    `echo "$*" >> "$(dirname "$0")/../asked"\ncase $1 in show) echo ActiveState=inactive ;; esac`,
  );
  const kubelet = { unit: 'kubelet.service', stop: 'kubelet', manifests: 'folder' } as const;
  const plan = planWith({ ...pods(), kubelet });
  passes(textOf(stepOf(plan, 'stop-apiservers')));
  expect(manifests()).toEqual(['etcd.yaml']);
  expect(existsSync(join(root, 'asked'))).toBe(false);
  passes(textOf(stepOf(plan, 'stop-etcd')));
  passes(stepOf(plan, 'stop-etcd').done ?? '');
  expect(manifests()).toEqual([]);
  expect(readFileSync(join(root, 'asked'), 'utf8')).toBe('stop kubelet.service\nshow -p ActiveState kubelet.service\n');
});

describe('containers that are stopped with the kubelet, by ctr,', () => {
  /** One task a file; its content is how it takes SIGTERM. `ended` is what containerd has not yet cleared away. */
  function stopWith(tasks: Readonly<Record<string, 'heeds' | 'deaf' | 'immortal' | 'ended'>>): Step {
    for (const [id, how] of Object.entries(tasks)) write(join(root, 'tasks', id), how);
    const ctr = join(root, 'ctr');
    program(
      ctr,
      `[ -d "$(dirname "$0")/tasks" ] || exit 1
cd "$(dirname "$0")/tasks"
echo "$*" >> ../signals
for id in "$@"; do :; done
case "$*" in
  '-n k8s.io tasks ls')
    echo 'TASK PID STATUS'
    for f in *; do
      [ ! -e "$f" ] || case $(cat "$f") in ended) echo "$f    7    STOPPED" ;; *) echo "$f    7    RUNNING" ;; esac
    done ;;
  *'-s SIGTERM '*) [ "$(cat "$id")" != heeds ] || rm "$id" ;;
  *'-s SIGKILL '*) [ "$(cat "$id")" = immortal ] || rm "$id" ;;
  *) exit 9 ;;
esac`,
    );
    program(join(bin, 'systemctl'), 'case $1 in show) echo ActiveState=inactive ;; esac');
    const kubelet = { unit: 'kubelet.service', stop: 'kubelet-and-containers', manifests: 'one-by-one' } as const;
    return stepOf(planWith({ ...pods(), kubelet, runtime: { cli: 'ctr', path: ctr } }), 'stop-etcd');
  }

  const hurried = (step: Step): string => textOf(step).replaceAll('wait_for 30 ', 'wait_for 1 ');
  const signals = (): string => readFileSync(join(root, 'signals'), 'utf8');

  test('get SIGTERM, and no more where they heed it', () => {
    const stop = stopWith({ one: 'heeds', two: 'heeds', old: 'ended' });
    expect(run(stop.done ?? '').code).not.toBe(0);
    passes(textOf(stop));
    passes(stop.done ?? '');
    expect(signals()).not.toContain('SIGKILL');
    expect(signals()).not.toContain('SIGTERM old');
  });

  test('are killed where they are deaf to it', () => {
    const stop = stopWith({ one: 'heeds', two: 'deaf' });
    passes(hurried(stop));
    passes(stop.done ?? '');
    expect(signals()).toContain('SIGKILL two');
    expect(signals()).not.toContain('SIGKILL one');
  });

  test('are told of where they still run, or nobody can tell', () => {
    const stop = stopWith({ one: 'immortal' });
    expect(run(hurried(stop)).err).toContain('containers still run.');
    rmSync(join(root, 'tasks'), { recursive: true });
    expect(run(hurried(stop)).code).not.toBe(0);
    expect(run(stop.done ?? '').code).not.toBe(0);
  });
});

test('a unit that systemd is about to start again is not at rest', () => {
  for (const [state, code] of [
    ['inactive', 0],
    ['failed', 0],
    ['activating', 1],
    ['active', 1],
    ['deactivating', 1],
  ] as const) {
    program(join(bin, 'systemctl'), `echo ActiveState=${state}`);
    expect(run(script('unit_rests etcd.service')).code).toBe(code);
  }
});

test('what is still there is named when time is up', async () => {
  const plan = planWith(pods());
  await process_('etcd', `--data-dir=${join(root, 'etcd')}`);
  const proof = textOf(stepOf(plan, 'prove-stopped')).replace('+ 90))', '+ 1))');
  const { code, err } = run(proof);
  expect(code).toBe(1);
  expect(err).toContain('a process of etcd;');
});

test('a look at a node finds the tool changed, the room gone, the unit missing', () => {
  program(join(bin, 'systemctl'), 'exit 0');
  const plan = planWith({ dataDir: directory(root), apiServer: { supervisor: unit('kube-apiserver'), port: 6443 } });
  const look = textOf(stepOf(plan, 'check'));
  passes(look);
  program(join(bin, 'df'), `echo 'x 1024-blocks'; echo '/dev/x 100 90 10 90% /'`);
  expect(run(look).err).toContain('Only 10 KiB are free');
  rmSync(join(bin, 'df'));
  program(join(bin, 'systemctl'), 'exit 1');
  expect(run(look).err).toContain('There is no unit etcd.service.');
  program(join(root, 'tools/etcdutl'), 'echo etcdutl version: 3.5.16');
  expect(run(look).err).toContain('is not the etcdutl 3.5.16');
});

// ── Joining ──────────────────────────────────────────────────────────────────────────────────────────────────────────

test('a member joins once, with the flags that etcd wants, and is done when it votes', async () => {
  const tools = [etcdTool('etcdutl'), etcdTool('etcdctl')];
  const base = { ...nodeFacts(1), tools, peerUrls: ['http://a:2380'] };
  const etcd = { ...nodeFacts(2).etcd, ...pods().etcd, memberName: 'cp2', node: 'cp2' };
  const own = {
    ...nodeFacts(2),
    ...pods(),
    tools,
    etcd,
    dataDir: directory(join(root, 'etcd')),
    peerUrls: ['http://b:2380'],
  };
  const plan = makeRestorePlan(restoreInput({ mode: 'one-member', nodes: [base, own] }));
  write(join(root, 'etcd/member/snap/db'), 'old');
  write(join(root, 'tools/members'), 'a1, started, cp1, http://a:2380, http://a:2379, false\n');
  passes(textOf(stepOf(plan, 'stop-etcd', 'cp2')));
  passes(textOf(stepOf(plan, 'prepare', 'cp2')));
  passes(textOf(stepOf(plan, 'swap', 'cp2')));
  expect(readdirSync(join(root, 'etcd'))).toEqual([]);
  const child = await process_('etcd', `--data-dir=${join(root, 'etcd')}`);
  const joins = stepOf(plan, 'join-members', 'cp2');
  expect(run(joins.done ?? '').code).not.toBe(0);
  passes(textOf(joins));
  passes(textOf(joins));
  passes(joins.done ?? '');
  expect(readFileSync(join(root, 'tools/members'), 'utf8').trim().split('\n')).toHaveLength(2);
  expect(readFileSync(join(root, 'k8s/manifests/etcd.yaml'), 'utf8')).toBe(
    POD.replace('    - --initial-cluster-state=new\n', '').replace(
      '- --initial-cluster=cp2=http://b:2380',
      "- '--initial-cluster=cp1=http://a:2380,cp2=http://b:2380'\n    - '--initial-cluster-state=existing'",
    ),
  );
  await ended(child);
  passes(joins.undo ?? '');
  passes(stepOf(plan, 'swap', 'cp2').undo ?? '');
  expect(readFileSync(join(root, 'etcd/member/snap/db'), 'utf8')).toBe('old');
  await process_('etcd', `--data-dir=${join(root, 'etcd')}`);
  passes(stepOf(plan, 'stop-etcd', 'cp2').undo ?? '');
  expect(readFileSync(join(root, 'k8s/manifests/etcd.yaml'), 'utf8')).toBe(POD);
});
