/** Whole restores by the job itself, with its real adapters, on nodes with a real kubelet, containerd and kube-apiserver. */
import { describe } from 'vitest';
import { wholeRestore, type RestoreCase } from '../support/whole-restore.ts';

const kubelet = 'real';

/** Every layout that has static pods. */
const CASES: readonly (RestoreCase & { readonly what: string })[] = [
  { what: 'kubeadm with 3.5', cluster: { etcdVersion: '3.5', layout: 'kubeadm', kubelet } },
  { what: 'kubeadm with 3.4', cluster: { etcdVersion: '3.4', layout: 'kubeadm', kubelet } },
  { what: 'procedure A with 3.5', cluster: { etcdVersion: '3.5', layout: 'a', kubelet } },
  {
    what: 'procedure B with 3.5, the others join',
    cluster: { etcdVersion: '3.5', layout: 'b', kubelet },
    mode: 'one-member',
  },
  {
    what: 'procedure C with 3.5, behind a bastion',
    cluster: { etcdVersion: '3.5', layout: 'c', kubelet },
    policy: { kubelet: 'kubelet-and-containers', manifests: 'folder' },
  },
];

describe.each(CASES)('a restore with a real kubelet: $what', wholeRestore);
