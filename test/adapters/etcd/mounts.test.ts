import { expect, test } from 'vitest';
import { candidates, mountsBelow, parseMounts } from '../../../src/adapters/etcd/mounts.ts';

/** Of a node with the data on a disk of its own, and a bind mount of part of it. */
const NODE = parseMounts(`8:1 / /
0:5 / /dev
8:17 / /mnt/disk
8:17 /etcd /var/lib/etcd
8:1 /srv/a\\040b /srv/a\\040b
0:40 / /var/lib/other
`);

/** Of containerd's etcd container there. */
const CONTAINER = parseMounts(`0:77 / /
0:78 / /proc
8:17 /etcd /var/lib/etcd
8:1 /etc/kubernetes/pki/etcd /etc/kubernetes/pki/etcd
8:1 /fast /var/lib/etcd/wal
`);

test("a container's directory is looked for wherever the node has its filesystem", () => {
  expect(candidates('/var/lib/etcd', CONTAINER, NODE)).toEqual(['/mnt/disk/etcd', '/var/lib/etcd']);
  expect(candidates('/var/lib/etcd/member', CONTAINER, NODE)).toEqual([
    '/mnt/disk/etcd/member',
    '/var/lib/etcd/member',
  ]);
  expect(candidates('/etc/kubernetes/pki/etcd/ca.crt', CONTAINER, NODE)).toEqual(['/etc/kubernetes/pki/etcd/ca.crt']);
});

test('the innermost mount counts, and of two in one place the later', () => {
  expect(candidates('/var/lib/etcd/wal', CONTAINER, NODE)).toEqual(['/fast']);
  const twice = [...CONTAINER, { device: '8:1', root: '/late', point: '/var/lib/etcd/wal' }];
  expect(candidates('/var/lib/etcd/wal/x', twice, NODE)).toEqual(['/late/x']);
});

test('what is in the container alone is nowhere on the node', () => {
  expect(candidates('/data', CONTAINER, NODE)).toEqual([]);
});

test('mount points below a directory are told, itself and its neighbours are not', () => {
  const mounts = parseMounts('1:1 / /d\n1:2 / /d/z\n1:3 / /d/a\n1:4 / /d/a\n1:5 / /data\n');
  expect(mountsBelow('/d', mounts)).toEqual(['/d/a', '/d/z']);
  expect(mountsBelow('/srv', NODE)).toEqual(['/srv/a b']);
});
