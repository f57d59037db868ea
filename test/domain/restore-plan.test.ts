import { expect, test } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import { predictMemberId } from '../../src/domain/etcd-commands.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { makeRestorePlan } from '../../src/domain/restore-plan.ts';
import type { EtcdTool, NodeFacts, RestoreInput } from '../../src/domain/restore/facts.ts';
import { renderRunbook } from '../../src/domain/runbook.ts';
import { snapshotRecord } from '../fakes/snapshot-record.ts';
import { nodeFacts, pod, restoreInput, unit } from './restore-facts.ts';

function refusal(change: Partial<RestoreInput>): string {
  try {
    makeRestorePlan(restoreInput(change));
  } catch (error) {
    if (error instanceof KeyturnError && error.hint !== '') return error.code;
    throw error;
  }
  return 'planned';
}

const three = (change: (number: number) => Partial<NodeFacts>): readonly NodeFacts[] =>
  [1, 2, 3].map((number) => nodeFacts(number, change(number)));

function scriptOf(plan: Plan, id: string): string {
  const step = plan.phases.flatMap(({ steps }) => steps).find((other) => other.id === id);
  if (step?.action.kind !== 'script') throw new Error(`There is no script ${id}.`);
  return step.action.script;
}

/** A script without the shared words: what is particular to the step. */
function lines(script: string): readonly string[] {
  const all = script.trimEnd().split('\n');
  const start = all.findIndex((line) => line.startsWith('data_dir='));
  return all.slice(Math.max(start, 0));
}

const tool = (name: EtcdTool['name'], version: string, from: EtcdTool['from'] = 'node'): EtcdTool => ({
  name,
  version,
  path: `/usr/bin/${name}-${version}`,
  from,
  sha256: 'c'.repeat(64),
});

// The ids that etcd's own documentation prints for these members.
test.each([
  ['http://localhost:2380', 'etcd-cluster', '8e9e05c52164694d'],
  ['http://127.0.0.1:12380', 'etcd-cluster-1', '8211f1d0f64f3269'],
  ['http://127.0.0.1:22380', 'etcd-cluster-1', '91bc3c398fb3c146'],
])('the id of the member at %s with the token %s is %s', (url, token, id) => {
  expect(predictMemberId([url], token)).toBe(String(BigInt(`0x${id}`)));
});

test('the order of peer URLs does not matter for the predicted id', () => {
  expect(predictMemberId(['http://b:1', 'http://a:1'], 't')).toBe(predictMemberId(['http://a:1', 'http://b:1'], 't'));
});

test('a plan of kubeadm’s layout has these phases', () => {
  expect(makeRestorePlan(restoreInput()).phases.map(({ name }) => name)).toEqual([
    'check',
    'fetch',
    'prepare',
    'stop-apiservers',
    'stop-etcd',
    'prove-stopped',
    'swap',
    'start-etcd',
    'prove-healthy',
    'start-apiservers',
    'restart-caches',
    'prove-serving',
  ]);
});

test('procedure A: the unit of etcd is stopped, the manifest of kube-apiserver moved', () => {
  const nodes = three(() => ({ etcd: { ...nodeFacts(1).etcd, supervisor: unit('etcd') } })).map((facts, i) => ({
    ...facts,
    etcd: { ...facts.etcd, memberName: `cp${i + 1}` },
  }));
  const plan = makeRestorePlan(restoreInput({ nodes }));
  expect(lines(scriptOf(plan, 'stop-apiservers.cp1'))).toEqual([
    'data_dir=/var/lib/etcd',
    'manifests_aside=/etc/kubernetes/keyturn-r1',
    'move_out /etc/kubernetes/manifests kube-apiserver.yaml',
    "wait_for 150 'kube-apiserver still runs.' gone kube-apiserver",
  ]);
  expect(lines(scriptOf(plan, 'stop-etcd.cp1')).slice(2)).toEqual([
    'systemctl stop etcd.service',
    "wait_for 150 'etcd still runs.' etcd_gone",
  ]);
});

test('procedure C: the folder of manifests goes aside, then kubelet and what is left of containers stop', () => {
  const nodes = three((number) => ({
    etcd: { ...nodeFacts(number).etcd, supervisor: unit('etcd'), dataDir: '/var/lib/etcddisk' },
    dataDir: { ...nodeFacts(number).dataDir, path: '/var/lib/etcddisk', isMountPoint: true, uid: 997, gid: 995 },
    kubelet: { unit: 'kubelet.service', stop: 'kubelet-and-containers', manifests: 'folder' },
  }));
  const plan = makeRestorePlan(restoreInput({ nodes }));
  expect(lines(scriptOf(plan, 'stop-apiservers.cp2')).slice(2)).toEqual([
    "folder_out /etc/kubernetes/manifests ''",
    "wait_for 150 'kube-scheduler still runs.' gone kube-scheduler",
    "wait_for 150 'kube-controller-manager still runs.' gone kube-controller-manager",
    'move_out /etc/kubernetes/manifests kube-apiserver.yaml',
    "wait_for 150 'kube-apiserver still runs.' gone kube-apiserver",
    'systemctl stop kubelet.service',
    'containers() { /usr/bin/crictl ps -q; }',
    'no_containers() { ids=$(containers) && [ -z "$ids" ]; }',
    'for id in $(containers); do /usr/bin/crictl stop --timeout 30 "$id" >/dev/null 2>&1 & done; wait',
    "wait_for 30 'containers still run.' no_containers",
  ]);
  expect(scriptOf(plan, 'prepare.cp2')).toContain('chown -R 997:995 /var/lib/etcddisk/keyturn-r1.new.part');
  expect(lines(scriptOf(plan, 'swap.cp2')).slice(-1)).toEqual([
    'swap_content_in /var/lib/etcddisk /var/lib/etcddisk/keyturn-r1 /var/lib/etcddisk/keyturn-r1.new',
  ]);
  expect(plan.members[1]?.oldData).toEqual(['/var/lib/etcddisk/keyturn-r1']);
  expect(plan.phases.some(({ name }) => name === 'restart-caches')).toBe(false);
});

test('procedure E: all units, no manifest is touched', () => {
  const nodes = three((number) => ({
    etcd: { ...nodeFacts(number).etcd, supervisor: unit('etcd') },
    apiServer: { supervisor: unit('kube-apiserver'), port: 6443 },
    scheduler: unit('kube-scheduler'),
    controllerManager: unit('kube-controller-manager'),
  }));
  const plan = makeRestorePlan(restoreInput({ nodes }));
  expect(lines(scriptOf(plan, 'stop-apiservers.cp1')).slice(2)).toEqual([
    'systemctl stop kube-apiserver.service',
    "wait_for 150 'kube-apiserver still runs.' gone kube-apiserver",
  ]);
  expect(lines(scriptOf(plan, 'restart-caches.cp1')).slice(1)).toEqual([
    'systemctl restart kube-scheduler.service',
    'systemctl restart kube-controller-manager.service',
    'systemctl restart kubelet.service',
  ]);
  expect(plan.phases.flatMap(({ steps }) => steps.map(({ id }) => id)).join()).not.toContain('manifest');
});

test('procedure B: the first member alone gets the snapshot, each other joins all before it', () => {
  const plan = makeRestorePlan(restoreInput({ mode: 'one-member' }));
  expect(scriptOf(plan, 'prepare.cp1')).toContain('--initial-cluster=cp1=https://10.0.0.11:2380 ');
  expect(plan.members.map(({ predictedId }) => predictedId !== undefined)).toEqual([true, false, false]);
  const join = scriptOf(plan, 'join-members.cp2');
  expect(join).toContain('--endpoints=https://10.0.0.11:2379');
  expect(join).toContain('--initial-cluster=cp1=https://10.0.0.11:2380,cp2=https://10.0.0.12:2380');
  expect(join).not.toContain('cp3=');
  expect(scriptOf(plan, 'join-members.cp3')).toContain(',cp3=https://10.0.0.13:2380');
  expect(plan.warnings.join(' ')).toContain('The manifest of etcd on cp2 and cp3 keeps');
});

test('a unit joins by a drop-in in which systemd expands nothing', () => {
  const nodes = three((number) => ({
    etcd: { ...nodeFacts(number).etcd, supervisor: unit('etcd') },
    argv: ['/usr/bin/etcd', '--name', 'a "b" 100% $c \\d'],
  }));
  const join = scriptOf(makeRestorePlan(restoreInput({ nodes, mode: 'one-member' })), 'join-members.cp2');
  expect(join).toContain('ExecStart="/usr/bin/etcd" "--name" "a \\"b\\" 100%% $$c \\\\d" "--initial-cluster=cp1=');
  expect(join).toContain('/run/systemd/system/etcd.service.d/90-keyturn-r1.conf');
});

test('the restored data take the place of the write-ahead log that flags put below the data', () => {
  const nodes = three((number) => ({ etcd: { ...nodeFacts(number).etcd, walDir: '/var/lib/etcd/fast/wal' } }));
  const plan = makeRestorePlan(restoreInput({ nodes }));
  expect(scriptOf(plan, 'prepare.cp1')).toContain('--wal-dir=/var/lib/etcd.keyturn-r1.new.part/fast/wal');
});

test('the bump lies a whole step above what was served, and stays the same while the cluster is written to', () => {
  const bump = (liveRevision: bigint | undefined): string | undefined =>
    makeRestorePlan(restoreInput({ liveRevision })).bumpRevision;
  expect(bump(1000n)).toBe('2000000000');
  expect(bump(900_000_000n)).toBe('2000000000');
  expect(bump(1_000_001_000n)).toBe('3000000000');
  expect(bump(undefined)).toBe('2000000000');
  expect(bump(5n)).toBe('2000000000');
});

test.each([
  ['3.4.23', [tool('etcdctl', '3.4.23'), tool('etcdctl', '3.4.27')], 'etcdctl-3.4.27'],
  ['3.5.4', [tool('etcdctl', '3.5.4'), tool('etcdutl', '3.5.4')], 'etcdutl-3.5.4'],
  ['3.5.4', [tool('etcdctl', '3.5.16'), tool('etcdutl', '3.5.4')], 'etcdctl-3.5.16'],
  ['3.5.16', [tool('etcdctl', '3.4.30'), tool('etcdctl', '3.5.16')], 'etcdctl-3.5.16'],
  ['3.6.1', [tool('etcdctl', '3.6.1'), tool('etcdutl', '3.6.0')], 'etcdutl-3.6.0'],
  ['3.5.16', [tool('etcdutl', '3.5.16', 'container'), tool('etcdutl', '3.5.15')], 'etcdutl-3.5.16'],
] as const)('etcd %s is restored by the best tool there is', (etcdVersion, tools, chosen) => {
  const plan = makeRestorePlan(restoreInput({ nodes: three(() => ({ etcdVersion, tools })) }));
  expect(scriptOf(plan, 'check.cp1')).toContain(chosen);
});

test('a tool from a container is copied out while etcd runs', () => {
  const tools = [tool('etcdutl', '3.5.16', 'container')];
  const prepare = scriptOf(makeRestorePlan(restoreInput({ nodes: three(() => ({ tools })) })), 'prepare.cp1');
  expect(prepare).toMatch(/^cp "\/proc\/.*"\/usr\/bin\/etcdutl-3\.5\.16 \/var\/lib\/etcd\.keyturn-r1\.tool$/m);
  expect(prepare).toContain('nice -n 10 /var/lib/etcd.keyturn-r1.tool snapshot restore');
});

test('a member that does not answer is known by its peer URL', () => {
  const input = restoreInput();
  const status = input.status && {
    ...input.status,
    members: input.status.members.map((member) => ({ ...member, name: '', node: undefined })),
  };
  expect(makeRestorePlan({ ...input, status }).members).toHaveLength(3);
});

test.each<[string, string, Partial<RestoreInput>]>([
  ['no tool of the minor version', 'plan.no-tool', { nodes: three(() => ({ tools: [tool('etcdutl', '3.4.30')] })) }],
  [
    '3.6 with etcdctl alone',
    'plan.no-tool',
    { nodes: three(() => ({ etcdVersion: '3.6.1', tools: [tool('etcdctl', '3.6.1')] })) },
  ],
  ['etcd 3.3', 'plan.no-tool', { nodes: three(() => ({ etcdVersion: '3.3.10', tools: [tool('etcdctl', '3.3.10')] })) }],
  [
    'a tool in a container that does not run',
    'plan.no-tool',
    {
      nodes: three((number) => ({
        etcd: { ...nodeFacts(number).etcd, pid: undefined },
        tools: [tool('etcdutl', '3.5.16', 'container')],
      })),
    },
  ],
  [
    'one-member without etcdctl',
    'plan.no-tool',
    { mode: 'one-member', nodes: three(() => ({ tools: [tool('etcdutl', '3.5.16')] })) },
  ],
  [
    'a full disk',
    'plan.no-space',
    { nodes: three((n) => ({ dataDir: { ...nodeFacts(n).dataDir, freeBytes: 1000 } })) },
  ],
  [
    'a node that was not reached',
    'plan.node-missing',
    { missing: [{ node: 'cp3', message: 'No route.', hint: 'Start it.' }] },
  ],
  ['no node', 'plan.node-missing', { nodes: [] }],
  [
    'a member on a node that is not configured',
    'plan.node-missing',
    { nodes: [nodeFacts(1)], status: restoreInput().status },
  ],
  [
    'a snapshot of another cluster',
    'plan.foreign-snapshot',
    { snapshot: snapshotRecord({ cluster: 'test', clusterId: '77' }) },
  ],
  [
    'a supervisor that is not known',
    'plan.unsupported',
    { nodes: three((n) => ({ etcd: { ...nodeFacts(n).etcd, supervisor: { kind: 'unknown' } } })) },
  ],
  ['static pods without a kubelet', 'plan.unsupported', { nodes: three(() => ({ kubelet: undefined })) }],
  [
    'two minor versions',
    'plan.unsupported',
    { nodes: three((n) => (n === 1 ? { etcdVersion: '3.4.23', tools: [tool('etcdctl', '3.4.23')] } : {})) },
  ],
  ['two members of one name', 'plan.unsupported', { nodes: three(() => ({ etcd: nodeFacts(1).etcd })) }],
  ['two members at one URL', 'plan.unsupported', { nodes: three(() => ({ peerUrls: ['http://a:2380'] })) }],
  ['an id that would leave its directory', 'plan.unsupported', { request: '../r1' }],
  [
    'a mount inside the data directory',
    'plan.unsupported',
    { nodes: three((n) => ({ dataDir: { ...nodeFacts(n).dataDir, mountsInside: ['/var/lib/etcd/member/wal'] } })) },
  ],
  [
    'one-member with a configuration file',
    'plan.unsupported',
    {
      mode: 'one-member',
      nodes: three((n) => ({ hasConfigFile: true, etcd: { ...nodeFacts(n).etcd, supervisor: unit('etcd') } })),
    },
  ],
])('no plan for %s', (_what, code, change) => {
  expect(refusal(change)).toBe(code);
});

test('a snapshot of another cluster is planned when somebody said so, with a warning', () => {
  const snapshot = snapshotRecord({ cluster: 'test', clusterId: '78' });
  const { warnings } = makeRestorePlan(restoreInput({ snapshot, foreignSnapshotConfirmed: true }));
  expect(warnings).toContain('The snapshot is of another cluster: test.');
});

test('a snapshot from before the last restore needs no second word: every restore gives the cluster another id', () => {
  const { warnings } = makeRestorePlan(restoreInput({ snapshot: snapshotRecord({ clusterId: '78' }) }));
  expect(warnings).toContain('The cluster has another id than in the snapshot: it was restored or made anew since.');
});

test.each<[string, Partial<RestoreInput>]>([
  [
    "Revisions go back, since the tools on cp1, cp2 and cp3 can't raise them",
    { nodes: three(() => ({ tools: [tool('etcdutl', '3.5.9')] })) },
  ],
  [
    'The snapshot was made by etcd 3.4.23, and the cluster runs 3.5.16.',
    { snapshot: snapshotRecord({ clusterId: '77', etcdVersion: '3.4.23' }) },
  ],
  ['etcd 3.5.2 on cp1, cp2 and cp3 may corrupt data', { nodes: three(() => ({ etcdVersion: '3.5.2' })) }],
  [
    'etcd 3.4.21 on cp1, cp2 and cp3 may lose its authentication',
    { nodes: three(() => ({ etcdVersion: '3.4.21', tools: [tool('etcdctl', '3.4.21')] })) },
  ],
  ['The cluster has a single member', { nodes: [nodeFacts(1)] }],
  ['No member of the cluster answers', { status: undefined, liveRevision: undefined }],
  ['stored without a check of its own hash', { snapshot: snapshotRecord({ clusterId: '77', checks: ['size'] }) }],
  ['until the second has caught up there is no redundancy', { mode: 'one-member' }],
])('people are warned: %s', (warning, change) => {
  expect(makeRestorePlan(restoreInput(change)).warnings.join(' ')).toContain(warning);
});

test('a healthy cluster of a good version is warned of nothing, and the plan says what is lost', () => {
  const { warnings, snapshot } = makeRestorePlan(restoreInput());
  expect(warnings).toEqual([]);
  expect(snapshot.takenAt).toBe('2026-11-21T06:00:00.000Z');
});

test('the ports that must be closed are those of etcd’s clients and members, and of kube-apiserver', () => {
  const nodes = three((n) => ({
    apiServer: { supervisor: pod('kube-apiserver'), port: 8443 },
    runtime: nodeFacts(n).runtime,
  }));
  const proof = scriptOf(makeRestorePlan(restoreInput({ nodes })), 'prove-stopped.cp1');
  expect([...proof.matchAll(/! port_open (\w+)/g)].map(([, hex = '']) => parseInt(hex, 16))).toEqual([
    2379, 2380, 8443,
  ]);
  expect(proof).toContain("/usr/bin/crictl ps -q --name '^etcd$'");
});

test('a runbook shows ids as etcd prints them and fences that the scripts can not end', () => {
  const base = nodeFacts(1);
  const nodes = [{ ...base, etcd: { ...base.etcd, dataDir: '/d/```/x' } }];
  const plan = makeRestorePlan(restoreInput({ nodes }));
  const text = renderRunbook(plan);
  expect(text).toContain(BigInt(plan.members[0]?.predictedId ?? 0).toString(16));
  expect(text).toContain('````sh');
});
