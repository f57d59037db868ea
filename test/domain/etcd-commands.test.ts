import { describe, expect, test } from 'vitest';
import {
  alarmsOf,
  canBumpRevision,
  configFileOf,
  etcdctl,
  etcdFlags,
  etcdOnNode,
  hostOf,
  initialCluster,
  isEtcdServer,
  localEndpoint,
  endpointHash,
  parseCount,
  parseEndpointHash,
  parseEndpointStatus,
  parseEnvironmentFile,
  parseMemberList,
  parseVersion,
  restoreTools,
  sameMinor,
  splitNul,
  supervisorOf,
  wantsClientCertificate,
} from '../../src/domain/etcd-commands.ts';
import type { Json } from '../../src/domain/etcd-commands.ts';

const nul = (...parts: string[]): Uint8Array => new TextEncoder().encode(parts.map((part) => `${part}\0`).join(''));

describe('what etcd was started with', () => {
  test('is a list that NUL ends', () => {
    expect(splitNul(nul('etcd', '--name', '', 'x y'))).toEqual(['etcd', '--name', '', 'x y']);
    expect(splitNul(new Uint8Array())).toEqual([]);
  });

  test('is a server, not a gateway or another program', () => {
    expect(isEtcdServer(['/usr/local/bin/etcd', '--name=a'])).toBe(true);
    expect(isEtcdServer(['etcd', 'gateway', 'start'])).toBe(false);
    expect(isEtcdServer(['etcd', 'grpc-proxy', 'start'])).toBe(false);
    expect(isEtcdServer(['etcdctl', 'get'])).toBe(false);
    expect(isEtcdServer([])).toBe(false);
  });

  test('flags are read in every way that Go takes them', () => {
    const flags = etcdFlags(['etcd', '--name=a', '-data-dir', '/d', '--client-cert-auth', '--wal-dir', '/w'], []);
    expect(Object.fromEntries(flags)).toEqual({
      name: 'a',
      'data-dir': '/d',
      'client-cert-auth': 'true',
      'wal-dir': '/w',
    });
  });

  test('the command line wins over the environment', () => {
    const flags = etcdFlags(['etcd', '--name=a'], ['ETCD_NAME=b', 'ETCD_DATA_DIR=/d', 'PATH=/bin']);
    expect(Object.fromEntries(flags)).toEqual({ name: 'a', 'data-dir': '/d' });
  });

  test('a configuration file replaces both, with its TLS in a section of its own', () => {
    const argv = ['etcd', '--config-file=/etc/etcd.yaml', '--name=ignored'];
    expect(configFileOf(argv, [])).toBe('/etc/etcd.yaml');
    const file = {
      name: 'c',
      'quota-backend-bytes': 5,
      'client-transport-security': { 'cert-file': '/c', 'client-cert-auth': true },
    };
    const flags = etcdFlags(argv, [], file);
    expect(flags.get('name')).toBe('c');
    expect(flags.get('cert-file')).toBe('/c');
    expect(flags.get('quota-backend-bytes')).toBe('5');
    expect(wantsClientCertificate(flags)).toBe(true);
  });

  test('an environment file is read as systemd reads it', () => {
    const text = '# comment\nETCD_NAME="a b"\nETCD_DATA_DIR=/d\n  ETCD_X=\'y\' \nnonsense\n';
    expect(parseEnvironmentFile(text)).toEqual(['ETCD_NAME=a b', 'ETCD_DATA_DIR=/d', 'ETCD_X=y']);
  });
});

describe('etcd on a node', () => {
  const process = { pid: 7, supervisor: { kind: 'unknown' } as const };

  test("has etcd's own defaults for what is not set", () => {
    expect(etcdOnNode('cp1', new Map(), process)).toEqual({
      node: 'cp1',
      ...process,
      memberName: 'default',
      dataDir: 'default.etcd',
      walDir: undefined,
      listenClientUrls: ['http://localhost:2379'],
      advertiseClientUrls: ['http://localhost:2379'],
      tls: undefined,
      quotaBytes: 2 * 1024 ** 3,
    });
  });

  test('without a CA file trusts its own certificate', () => {
    const flags = new Map([
      ['cert-file', '/c'],
      ['key-file', '/k'],
    ]);
    expect(etcdOnNode('cp1', flags, process).tls).toEqual({ caFile: '/c', certFile: '/c', keyFile: '/k' });
    expect(wantsClientCertificate(flags)).toBe(false);
    expect(wantsClientCertificate(new Map([...flags, ['trusted-ca-file', '/ca']]))).toBe(true);
  });

  test.each([
    ['0::/system.slice/etcd.service\n', { kind: 'systemd', unit: 'etcd.service' }],
    [
      '1:name=systemd:/system.slice/my-etcd.service\n0::/system.slice/my-etcd.service',
      { kind: 'systemd', unit: 'my-etcd.service' },
    ],
    [
      '0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-2.scope',
      { kind: 'static-pod', manifest: '/m' },
    ],
    ['0::/kubepods/burstable/pod1/2', { kind: 'static-pod', manifest: '/m' }],
    ['0::/system.slice/kubelet.service', { kind: 'static-pod', manifest: '/m' }],
    ['0::/', { kind: 'unknown' }],
    ['', { kind: 'unknown' }],
  ])('is kept running by what its cgroup says: %j', (cgroup, supervisor) => {
    expect(supervisorOf(cgroup, '/m')).toEqual(supervisor);
  });

  test.each([
    [['https://192.0.2.1:2379', 'https://127.0.0.1:2379'], { host: '127.0.0.1', port: 2379, secure: true }],
    [['https://192.0.2.1:2379'], { host: '192.0.2.1', port: 2379, secure: true }],
    [['http://0.0.0.0:2379'], { host: '127.0.0.1', port: 2379, secure: false }],
    [['https://[::]:2379'], { host: '127.0.0.1', port: 2379, secure: true }],
    [['unix:///run/etcd.sock', 'https://[2001:db8::1]:4001'], { host: '2001:db8::1', port: 4001, secure: true }],
    [['unix:///run/etcd.sock'], undefined],
  ])('listens at %j, loopback first', (urls, endpoint) => {
    expect(localEndpoint(urls)).toEqual(endpoint);
  });

  test('hosts of URLs come without brackets', () => {
    expect(['https://192.0.2.1:2379', 'https://[2001:db8::1]:1', 'http://a.example/', 'nonsense'].map(hostOf)).toEqual([
      '192.0.2.1',
      '2001:db8::1',
      'a.example',
      undefined,
    ]);
  });
});

describe('etcdctl', () => {
  test('is told where and with which files', () => {
    const endpoint = { host: '2001:db8::1', port: 2379, secure: true };
    const tls = { caFile: '/ca', certFile: '/c', keyFile: '/k' };
    expect(etcdctl({ endpoint, tls }, ['member', 'list'])).toEqual([
      'etcdctl',
      '--endpoints=https://[2001:db8::1]:2379',
      '--cacert=/ca',
      '--cert=/c',
      '--key=/k',
      'member',
      'list',
    ]);
    expect(etcdctl({ endpoint: { ...endpoint, host: 'h', secure: false }, tls: undefined }, [])).toEqual([
      'etcdctl',
      '--endpoints=http://h:2379',
    ]);
  });

  test('answers keep every bit of a uint64, and zero where a field is left out', () => {
    const max = 18446744073709551615n;
    const status: Json = [
      {
        Endpoint: 'e',
        Status: { header: { cluster_id: max, member_id: max, revision: 6n }, version: '3.4.23', leader: max },
      },
    ];
    expect(parseEndpointStatus(status)).toEqual({
      clusterId: max,
      memberId: max,
      revision: 6n,
      version: '3.4.23',
      dbSize: 0,
      dbSizeInUse: 0,
      leader: max,
      raftIndex: 0n,
      raftTerm: 0n,
      raftAppliedIndex: 0n,
      errors: [],
      isLearner: false,
    });
    expect(parseEndpointStatus([])).toBeUndefined();
  });

  test('member lists of 3.4 and of 3.5 are read alike', () => {
    const member = { ID: 1n, name: 'a', peerURLs: ['p'] };
    const expected = [{ id: 1n, name: 'a', peerUrls: ['p'], clientUrls: ['c'], isLearner: false }];
    expect(parseMemberList({ members: [{ ...member, clientURLs: ['c'] }] })).toEqual(expected);
    expect(parseMemberList({ members: [{ ...member, clientURLS: ['c'] }] })).toEqual(expected);
    expect(parseMemberList(null)).toEqual([]);
  });

  test('keys are counted whatever the limit', () => {
    expect(parseCount({ header: { revision: 9n }, kvs: [{}], more: true, count: 5n })).toEqual({
      keys: 5n,
      revision: 9n,
    });
  });

  test('a hash is a uint32, and missing where the endpoint did not answer', () => {
    expect(parseEndpointHash([{ Endpoint: 'x', HashKV: { header: {}, hash: 4084519789n } }])).toBe(4084519789);
    expect(parseEndpointHash([{ Endpoint: 'x', HashKV: { header: {} } }])).toBe(0);
    expect(parseEndpointHash([])).toBeUndefined();
    expect(endpointHash(12n, 90)).toEqual(
      expect.arrayContaining(['endpoint', 'hashkv', '--rev=12', '--command-timeout=90s']),
    );
  });
});

test('every member reports all alarms; only its own are told of it', () => {
  const errors = ['memberID:42 alarm:NOSPACE ', 'memberID:43 alarm:CORRUPT ', 'etcdserver: no leader'];
  expect(alarmsOf(42n, errors)).toEqual(['NOSPACE', 'etcdserver: no leader']);
  expect(alarmsOf(43n, errors)).toEqual(['CORRUPT', 'etcdserver: no leader']);
});

test.each([
  ['3.4.26', false],
  ['3.4.27', true],
  ['3.5.9', false],
  ['3.5.10', true],
  ['3.6.0', true],
  ['3.7.1', true],
  ['3.3.27', false],
  ['devel', false],
])('the tools of etcd %s can raise revisions: %s', (version, can) => {
  expect(canBumpRevision(version)).toBe(can);
});

test('etcdutl restores from 3.5, alone from 3.6; before 3.4 nothing does', () => {
  expect(['3.3.1', '3.4.9', '3.5.0', '3.6.0', '3.7.0', '4.0.0'].map(restoreTools)).toEqual([
    [],
    ['etcdctl'],
    ['etcdutl', 'etcdctl'],
    ['etcdutl'],
    ['etcdutl'],
    [],
  ]);
});

test('a version is read with and without what people write around it', () => {
  expect(['v3.5.16', ' 3.5.16\n', '3.5.16-rc.1', '3.5.16+git'].map(parseVersion)).toEqual(
    Array(4).fill({ major: 3, minor: 5, patch: 16 }),
  );
  expect(['3.5', '3.5.1.2', '', 'three'].map(parseVersion)).toEqual(Array(4).fill(undefined));
});

test('versions that are none are not of the same minor', () => {
  expect(sameMinor('3.5.1', '3.5.16')).toBe(true);
  expect(sameMinor('3.5.1', '3.4.1')).toBe(false);
  expect(sameMinor('devel', 'devel')).toBe(false);
});

test('a member of two peer URLs is named with each', () => {
  const members = [
    { name: 'a', peerUrls: ['http://1:2380', 'http://2:2380'] },
    { name: 'b', peerUrls: ['http://3:2380'] },
  ];
  expect(initialCluster(members)).toBe('a=http://1:2380,a=http://2:2380,b=http://3:2380');
});
