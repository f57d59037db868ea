/** The real kubelet, held to what its stand-in is held to. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { parse, stringify } from 'yaml';
import { manifest } from '../../deploy/local/nodes/manifest.ts';
import { startNodes, type LocalNodes } from '../../deploy/local/nodes/nodes.ts';
import { SHELL_IMAGE } from '../../deploy/local/parts/kubernetes.ts';
import { kubeletContract } from '../contracts/kubelet.ts';

let work: string;
let nodes: LocalNodes;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'keyturn-kubelet-'));
  nodes = await startNodes({
    instanceDir: join(work, 'nodes'),
    clusters: [{ name: 'one', etcdVersion: '3.5', layout: 'kubeadm', nodes: ['cp1'], kubelet: 'real' }],
  });
});

afterAll(async () => {
  await nodes.stop();
  await rm(work, { recursive: true });
});

describe('the real kubelet keeps to the contract of a kubelet', () => {
  kubeletContract(async () => {
    const { layout, ...cluster } = nodes.cluster('one');
    return {
      exec: (argv) => cluster.node('cp1').exec(argv),
      unit: 'kubelet.service',
      manifestsDir: layout.manifestsDir,
      manifest: (name, command, { graceSeconds = 30 } = {}) => {
        const pod = parse(manifest(name, command, { folders: ['/tmp'] })) as {
          spec: { containers: readonly object[] };
        };
        const spec = {
          ...pod.spec,
          containers: pod.spec.containers.map((container) => ({ ...container, image: SHELL_IMAGE })),
          // The first process of a process namespace is deaf to TERM unless it has asked for it, and `sleep` has not.
          hostPID: true,
          terminationGracePeriodSeconds: graceSeconds,
        };
        return stringify({ ...pod, spec });
      },
    };
  });
});
