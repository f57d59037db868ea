import { describe, expect, test } from 'vitest';
import type { FoundEtcd } from '../../../src/adapters/etcd/discovery.ts';
import { nodeFacts, whatToLookAt, type Looks } from '../../../src/adapters/etcd/node-facts.ts';
import { parsePrograms, type Seen } from '../../../src/adapters/etcd/programs.ts';
import { podsOf } from '../../../src/adapters/etcd/static-pods.ts';
import { parseSurvey, type Survey } from '../../../src/adapters/etcd/survey.ts';
import type { ClusterStatus } from '../../../src/domain/cluster.ts';
import { etcdFlags, etcdOnNode, type StatusAnswer } from '../../../src/domain/etcd-commands.ts';
import type { NodeFacts } from '../../../src/domain/restore/facts.ts';
import { restoreInput } from '../../domain/restore-facts.ts';

// What the two scripts print, as lines of `what key base64`.
type Lines = Readonly<Record<string, string>>;
const printed = (lines: Lines): Buffer =>
  Buffer.from(
    Object.entries(lines)
      .map(([key, text]) => `${key} ${Buffer.from(text).toString('base64')}\n`)
      .join(''),
  );
const nul = (...words: string[]): string => words.map((word) => `${word}\0`).join('');

const ID = { etcd: '1'.repeat(64), server: '2'.repeat(64) };
const cgroupOf = (id: string): string => `0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-${id}.scope\n`;
const manifest = (name: string, command: string[], more: object = {}): string =>
  JSON.stringify({ spec: { containers: [{ name, command, image: `x/${name}:v3.5.9-1`, ...more }] } });
const FLAGS = ['--name=cp1', '--data-dir=/var/lib/etcd', '--initial-advertise-peer-urls=https://10.0.0.11:2380'];

/** kubeadm's layout on containerd. */
const PODS: Lines = {
  'cgroup etcd': cgroupOf(ID.etcd),
  'cwd -': '/',
  'program -': '/usr/local/bin/etcd',
  'mounts etcd': '0:77 / /\n8:1 /var/lib/etcd /var/lib/etcd\n',
  'mounts node': '8:1 / /\n0:5 / /dev\n',
  'etcd 70': nul('etcd', ...FLAGS),
  'kube-apiserver 71': nul('kube-apiserver', '--secure-port=7443'),
  'cgroup 71': cgroupOf(ID.server),
  'kubelet 72': nul('/usr/bin/kubelet', '--config=/var/lib/kubelet/config.yaml'),
  'cgroup 72': '0::/system.slice/kubelet.service\n',
  'manifest 1': '/m/etcd.yaml',
  'content 1': manifest('etcd', ['etcd', ...FLAGS]),
  'manifest 2': '/m/apiserver.json',
  'content 2': manifest('kube-apiserver', ['kube-apiserver']),
  'runtime crictl': '/usr/bin/crictl',
  'containers crictl': `${ID.etcd}\n${ID.server}`,
};
/** etcd alone, under systemd. */
const UNIT: Lines = {
  'cgroup etcd': '0::/system.slice/etcd.service\n',
  'cwd -': '/srv',
  'program -': '/opt/etcd/bin/etcd',
  'mounts node': '8:1 / /\n8:2 / /var/lib/etcd\n8:3 / /var/lib/etcd/member/wal\n',
  'etcd 70': nul('./etcd', ...FLAGS),
  'unit etcd': 'ExecStart={ path=/opt/etcd/bin/etcd ; argv[]=/opt/etcd/bin/etcd $X ; pid=70 }\n',
};
const SEEN: Lines = {
  'directory data': '0 104 1000 4096 /var/lib/etcd',
  'tool 1': `etcdctl node ${'a'.repeat(64)} 3.5.9 /usr/bin/etcdctl`,
  'tool 2': `etcdutl container ${'b'.repeat(64)} 3.5.9 /usr/local/bin/etcdutl`,
};
const answer = { clusterId: 77n, version: '3.5.9' } as StatusAnswer;

interface Change {
  readonly lines?: Lines;
  readonly without?: readonly string[];
  readonly pid?: number | undefined;
  readonly argv?: readonly string[];
  readonly looks?: Partial<Looks>;
}

function looksOf(base: Lines, { lines = {}, without = [], pid, argv, looks = {}, ...change }: Change): Looks {
  const all = Object.fromEntries(Object.entries({ ...base, ...lines }).filter(([key]) => !without.includes(key)));
  const survey = parseSurvey(printed(all));
  const isPod = base === PODS;
  const words = argv ?? [isPod ? 'etcd' : './etcd', ...FLAGS];
  const stopped = 'pid' in change || (pid === undefined && without.includes('cgroup etcd'));
  const flags = etcdFlags(words, []);
  const etcd = etcdOnNode('cp1', flags, {
    pid: stopped ? undefined : 70,
    supervisor: isPod ? { kind: 'static-pod', manifest: '/assumed' } : { kind: 'systemd', unit: 'etcd.service' },
  });
  const pod = stopped ? podsOf(survey.manifests, 'etcd')[0] : undefined;
  const found: FoundEtcd = { etcd, asksForCertificate: false, argv: words, flags, hasConfigFile: false, pod };
  const policy = { kubelet: 'kubelet', manifests: 'folder' } as const;
  return { found, survey, answer: stopped ? undefined : answer, status: undefined, policy, ...looks };
}

const factsOf = (base: Lines, change: Change = {}, seen: Lines = SEEN): NodeFacts =>
  nodeFacts(looksOf(base, change), parsePrograms(printed(seen)), undefined);
const seenWith = (lines: Lines): Lines => ({ ...SEEN, ...lines });
const refused = (message: string): object => ({
  code: 'plan.unsupported',
  message: expect.stringContaining(message) as string,
});
const thrown = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('a node of static pods', () => {
  test('is told with manifests by what they hold, whatever their names, and what the kubelet is to be done to', () => {
    expect(factsOf(PODS)).toMatchObject({
      node: 'cp1',
      etcd: { pid: 70, supervisor: { kind: 'static-pod', manifest: '/m/etcd.yaml' } },
      etcdVersion: '3.5.9',
      apiServer: { supervisor: { kind: 'static-pod', manifest: '/m/apiserver.json' }, port: 7443 },
      scheduler: undefined,
      kubelet: { unit: 'kubelet.service', stop: 'kubelet', manifests: 'folder' },
      runtime: { cli: 'crictl', path: '/usr/bin/crictl' },
      dataDir: { path: '/var/lib/etcd', uid: 0, gid: 104, isMountPoint: false, mountsInside: [], freeBytes: 4_096_000 },
      tools: [
        { name: 'etcdctl', from: 'node', version: '3.5.9' },
        { name: 'etcdutl', from: 'container', path: '/usr/local/bin/etcdutl' },
      ],
    });
  });

  test('has its etcd looked at in its container, whose view proves the directory', () => {
    expect(whatToLookAt(looksOf(PODS, {}))).toMatchObject({
      pid: 70,
      directories: [{ name: 'data', inside: '/var/lib/etcd', candidates: ['/var/lib/etcd', '/var/lib/etcd'] }],
      inContainer: true,
      folders: ['/usr/local/bin'],
    });
  });

  test('whose kube-apiserver is stopped has it by its manifest, with its port', () => {
    const content = manifest('kube-apiserver', ['kube-apiserver', '--secure-port=8443']);
    const facts = factsOf(PODS, { without: ['kube-apiserver 71'], lines: { 'content 2': content } });
    expect(facts.apiServer).toEqual({
      supervisor: { kind: 'static-pod', manifest: '/m/apiserver.json' },
      port: 8443,
    });
  });

  test('knows nothing of a process in a container that no manifest starts', () => {
    const facts = factsOf(PODS, { without: ['manifest 2', 'content 2'] });
    expect(facts.apiServer?.supervisor).toEqual({ kind: 'unknown' });
  });

  test('is told as having no runtime where the one that is there does not see its containers', () => {
    expect(factsOf(PODS, { lines: { 'containers crictl': '3'.repeat(64) } }).runtime).toBeUndefined();
    const both = { 'containers crictl': '', 'runtime docker': '/usr/bin/docker', 'containers docker': ID.etcd };
    expect(factsOf(PODS, { lines: both }).runtime).toEqual({ cli: 'docker', path: '/usr/bin/docker' });
  });

  test.each([
    [
      'two manifests start etcd',
      { 'manifest 3': '/m/etcd.yaml.bak', 'content 3': manifest('etcd', []) },
      'both start etcd',
    ],
    ['the kubelet is in no unit', { 'cgroup 72': '0::/user.slice/session-1.scope\n' }, 'runs in no systemd unit'],
    [
      'the container has part of the data from elsewhere',
      { 'mounts etcd': '8:1 /var/lib/etcd /var/lib/etcd\n8:9 / /var/lib/etcd/member/wal\n' },
      'has /var/lib/etcd/member/wal, inside its data directory, from elsewhere',
    ],
    ['a second etcd runs', { 'etcd 90': nul('/x/etcd', '--data-dir=/events') }, '2 etcds run on cp1'],
  ])('is not told of where %s', (_, lines: Lines, message) => {
    const told = (): unknown => [whatToLookAt(looksOf(PODS, { lines })), factsOf(PODS, { lines })];
    expect(thrown(told)).toMatchObject(refused(message));
  });
});

describe('a node whose etcd is stopped', () => {
  const gone = { without: ['cgroup etcd', 'mounts etcd', 'etcd 70'] };
  const mounted = {
    volumeMounts: [{ name: 'd', mountPath: '/var/lib/etcd' }],
  };
  const text = JSON.stringify({
    spec: {
      containers: [{ name: 'etcd', command: ['etcd', ...FLAGS], image: 'r:5000/etcd:3.5.9-0', ...mounted }],
      volumes: [{ name: 'd', hostPath: { path: '/data/etcd' } }],
    },
  });

  test('has its directory by the manifest, and its version by the tag of the image', () => {
    const change = { ...gone, lines: { 'content 1': text } };
    expect(whatToLookAt(looksOf(PODS, change))).toMatchObject({
      pid: undefined,
      directories: [{ candidates: ['/data/etcd'] }],
      servers: [],
      inContainer: false,
    });
    expect(factsOf(PODS, change)).toMatchObject({
      etcd: { pid: undefined, supervisor: { kind: 'static-pod', manifest: '/m/etcd.yaml' } },
      etcdVersion: '3.5.9',
      peerUrls: ['https://10.0.0.11:2380'],
    });
  });

  test('is not told of where the image has no version, or the data lie in the container', () => {
    const untagged = text.replace(':3.5.9-0', '@sha256:1234');
    expect(thrown(() => factsOf(PODS, { ...gone, lines: { 'content 1': untagged } }))).toMatchObject(
      refused('The version of etcd on cp1 is not known'),
    );
    expect(whatToLookAt(looksOf(PODS, gone)).directories).toMatchObject([{ candidates: [] }]);
    const { 'directory data': none, ...nothing } = SEEN;
    expect(none).toBeDefined();
    expect(thrown(() => factsOf(PODS, gone, nothing))).toMatchObject(refused('/var/lib/etcd, was not found'));
  });

  test('under systemd has its directory and version by what would be started', () => {
    const argv = ['/opt/etcd/bin/etcd', '--name=cp1', '--data-dir=default.etcd'];
    const change = {
      without: ['cgroup etcd', 'etcd 70'],
      lines: { 'unit etcd': 'WorkingDirectory=/srv/etcd\n' },
      argv,
    };
    expect(whatToLookAt(looksOf(UNIT, change))).toMatchObject({
      directories: [{ candidates: ['/srv/etcd/default.etcd'] }],
      servers: [['/opt/etcd/bin/etcd']],
      folders: ['/opt/etcd/bin'],
    });
    const facts = factsOf(UNIT, change, seenWith({ 'version -': 'etcd Version: 3.4.23' }));
    expect(facts).toMatchObject({ etcdVersion: '3.4.23', argv, kubelet: undefined, runtime: undefined, peerUrls: [] });
  });
});

describe('a node of units', () => {
  test('has argv[0] as systemd would call it, and the directory as it was mounted', () => {
    const { argv, dataDir, etcd, kubelet } = factsOf(UNIT);
    expect(argv).toEqual(['/opt/etcd/bin/etcd', ...FLAGS]);
    expect(etcd.supervisor).toEqual({ kind: 'systemd', unit: 'etcd.service' });
    expect(dataDir).toMatchObject({ isMountPoint: true, mountsInside: ['/var/lib/etcd/member/wal'] });
    expect(kubelet).toBeUndefined();
  });

  test('whose unit starts something that starts etcd has no command line to add flags to', () => {
    const lines = { 'unit etcd': 'ExecStart={ path=/bin/sh ; argv[]=/bin/sh /opt/start.sh ; pid=70 }\n' };
    expect(factsOf(UNIT, { lines }).argv).toEqual([]);
  });

  test('has its kube-apiserver by the unit of that name while it is stopped', () => {
    const shown = 'LoadState=loaded\nWantedBy=multi-user.target\nExecStart={ path=/k ; argv[]=/k $OPTS ; pid=0 }\n';
    const lines = { 'unit kube-apiserver': shown, 'file-kube-apiserver 1': 'OPTS="--v=2 \\\n--secure-port=6543"\n' };
    expect(factsOf(UNIT, { lines }).apiServer).toEqual({
      supervisor: { kind: 'systemd', unit: 'kube-apiserver.service' },
      port: 6543,
    });
    const both = { ...lines, 'manifest 1': '/m/a.yaml', 'content 1': manifest('kube-apiserver', []) };
    expect(thrown(() => factsOf(UNIT, { lines: both }))).toMatchObject(
      refused('both /m/a.yaml and kube-apiserver.service'),
    );
  });

  test.each([
    ['within the data directory moves along', '/var/lib/etcd/wal', '/var/lib/etcd/wal', undefined],
    ['elsewhere is told', '/wal', '/fast/wal', { path: '/fast/wal', isMountPoint: false }],
    ['that is a mount point is told, wherever it lies', '/var/lib/etcd/w', '/var/lib/etcd/w', { isMountPoint: true }],
  ])('a write-ahead log %s', (_, flag, path, expected) => {
    const lines = { 'mounts node': '8:1 / /\n8:4 / /var/lib/etcd/w\n' };
    const argv = ['/opt/etcd/bin/etcd', ...FLAGS, `--wal-dir=${flag}`];
    const { walDir } = factsOf(UNIT, { lines, argv }, seenWith({ 'directory wal': `0 0 1 1 ${path}` }));
    if (expected === undefined) expect(walDir).toBeUndefined();
    else expect(walDir).toMatchObject(expected);
  });

  test('a write-ahead log that is not there makes the node one that can not be told of', () => {
    const argv = ['/opt/etcd/bin/etcd', ...FLAGS, '--wal-dir=/wal'];
    expect(thrown(() => factsOf(UNIT, { argv }))).toMatchObject(refused('The WAL directory of etcd on cp1, /wal'));
  });
});

describe("a member's peer URLs", () => {
  const status = restoreInput().status as ClusterStatus;

  test('are those of the member list, where it has the node', () => {
    const members = status.members.map((each) => ({ ...each, peerUrls: ['https://changed:2380'] }));
    expect(factsOf(UNIT, { looks: { status: { ...status, members } } }).peerUrls).toEqual(['https://changed:2380']);
    expect(factsOf(UNIT, { looks: { status: { ...status, members: [] } } }).peerUrls).toEqual([
      'https://10.0.0.11:2380',
    ]);
  });

  test('tell whether a node of another cluster id is meant at all', () => {
    const foreign = { status, answer: { ...answer, clusterId: 78n } };
    expect(factsOf(UNIT, { looks: foreign }).node).toBe('cp1');
    const strangers = { ...status, members: status.members.slice(1) };
    expect(thrown(() => factsOf(UNIT, { looks: { ...foreign, status: strangers } }))).toMatchObject(
      refused('is a member of another cluster (4e)'),
    );
  });
});

test('what is printed only in part is nothing, not something wrong', () => {
  const seen: Seen = parsePrograms(
    printed({ 'directory data': '0 0  4096 /d', 'tool 1': 'etcdctl node abc 3.5.9 /x' }),
  );
  expect(seen).toEqual({ data: undefined, wal: undefined, version: undefined, tools: [] });
  const survey: Survey = parseSurvey(Buffer.from(''));
  expect(survey).toMatchObject({ etcd: undefined, namedEtcd: [], mounts: [], manifests: [], runtimes: [] });
});
