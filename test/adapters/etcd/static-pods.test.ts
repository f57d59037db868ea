import { describe, expect, test } from 'vitest';
import { pathOnNode, podsOf } from '../../../src/adapters/etcd/static-pods.ts';

/** As kubeadm writes it. */
const KUBEADM = `apiVersion: v1
kind: Pod
metadata:
  name: etcd
  namespace: kube-system
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://10.0.0.11:2379
    - --data-dir=/var/lib/etcd
    image: registry.k8s.io/etcd:3.5.16-0
    name: etcd
    volumeMounts:
    - mountPath: /var/lib/etcd
      name: etcd-data
    - mountPath: /etc/kubernetes/pki/etcd
      name: etcd-certs
  hostNetwork: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki/etcd
      type: DirectoryOrCreate
    name: etcd-certs
  - hostPath:
      path: /data/etcd
      type: DirectoryOrCreate
    name: etcd-data
status: {}
`;
const kubeadm = { path: '/m/etcd.yaml', text: KUBEADM };

function pod(container: object): { path: string; text: string } {
  return { path: '/m/x.yaml', text: JSON.stringify({ spec: { containers: [{ name: 'x', ...container }] } }) };
}

describe('the manifest of a component', () => {
  test("is told with its command, image and the node's folders", () => {
    expect(podsOf([{ path: '/m/other.yaml', text: 'spec: {}' }, kubeadm], 'etcd')).toEqual([
      {
        manifest: '/m/etcd.yaml',
        argv: ['etcd', '--advertise-client-urls=https://10.0.0.11:2379', '--data-dir=/var/lib/etcd'],
        environment: [],
        image: 'registry.k8s.io/etcd:3.5.16-0',
        mounts: [
          { inside: '/var/lib/etcd', onNode: '/data/etcd' },
          { inside: '/etc/kubernetes/pki/etcd', onNode: '/etc/kubernetes/pki/etcd' },
        ],
      },
    ]);
  });

  test.each([
    ['its container has the name', { name: 'kube-apiserver', command: ['/start'] }],
    ['its command is the program', { command: ['/usr/local/bin/kube-apiserver', '--v=2'] }],
    ['hyperkube is told to be it', { command: ['/hyperkube', 'apiserver', '--v=2'] }],
    ['a shell is told to run it', { command: ['/bin/sh', '-ec'], args: ['exec /usr/bin/kube-apiserver --v=2'] }],
  ])('names it where %s', (_, container) => {
    expect(podsOf([pod(container)], 'kube-apiserver').map(({ manifest }) => manifest)).toEqual(['/m/x.yaml']);
  });

  test.each([
    ['only a folder of it is named', { command: ['backup', '--data-dir=/var/lib/etcd'] }],
    ['only its address is named', { command: ['kube-apiserver', '--etcd-servers=https://127.0.0.1:2379'] }],
    ['it is the word behind another program', { command: ['watch', 'etcd'] }],
  ])('does not name it where %s', (_, container) => {
    expect(podsOf([pod(container)], 'etcd')).toEqual([]);
  });

  test('is none where it can not be read, or is no manifest', () => {
    const texts = [undefined, '', 'a: [', '- 1', 'null', 'spec:'];
    expect(
      podsOf(
        texts.map((text) => ({ path: '/m/etcd.yaml', text })),
        'etcd',
      ),
    ).toEqual([]);
  });

  test('that stands in two files is told twice: a kubelet would start both', () => {
    const copy = { ...kubeadm, path: '/m/etcd.yaml.old' };
    expect(podsOf([kubeadm, copy], 'etcd').map(({ manifest }) => manifest)).toEqual([
      '/m/etcd.yaml',
      '/m/etcd.yaml.old',
    ]);
  });
});

describe("a pod's path on the node", () => {
  const [etcd] = podsOf([kubeadm], 'etcd');
  if (etcd === undefined) throw new Error('The manifest was not understood.');

  test('is below the folder that is mounted there', () => {
    expect(pathOnNode(etcd, '/var/lib/etcd')).toBe('/data/etcd');
    expect(pathOnNode(etcd, '/var/lib/etcd/member/wal')).toBe('/data/etcd/member/wal');
  });

  test('is the innermost mount’s', () => {
    const mounts = [...etcd.mounts, { inside: '/var/lib/etcd/member', onNode: '/fast' }];
    expect(pathOnNode({ ...etcd, mounts }, '/var/lib/etcd/member/wal')).toBe('/fast/wal');
  });

  test('is none where nothing of the node is mounted', () => {
    expect(pathOnNode(etcd, '/var/lib/etcd2')).toBeUndefined();
    expect(pathOnNode(etcd, '/tmp')).toBeUndefined();
  });
});
