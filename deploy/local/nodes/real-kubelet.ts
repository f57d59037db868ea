/** Owns a real kubelet on a local node: its settings, containerd's, and what a machine is let do so that they can run. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { cloneDir } from '../parts/host.ts';
import { PAUSE_IMAGE, type Kubernetes } from '../parts/kubernetes.ts';
import type { Layout } from './layouts.ts';
import type { MachineDirectory } from './prepare-machine.ts';
import { plain, unitFile, type ControlPlane } from './units.ts';

const PROGRAMS = '/usr/local/sbin';
const IMAGES = '/usr/local/share/images';
const PREPARE = '/usr/local/libexec/prepare-containers';
const SOCKET = '/run/containerd/containerd.sock';
export const KUBELET_CONFIG = '/var/lib/kubelet/config.yaml';

/** Images and containers lie on a disk of their own: an overlay can't lie on the overlay that a machine runs from. */
export const CONTAINER_DISK: MachineDirectory = {
  path: '/var/lib/containerd',
  mode: 0o711,
  owner: 'root',
  isMount: true,
};

/** The arguments of systemd-nspawn for a machine that runs containers itself. */
export function containerArgs({ programs, images }: Kubernetes): string[] {
  return [
    `--bind-ro=${programs}:${PROGRAMS}`,
    `--bind-ro=${images}:${IMAGES}`,
    '--capability=all',
    '--system-call-filter=@default @basic-io @keyring bpf perf_event_open',
  ];
}

/** `images`: names of archives that the node's pods run from. */
export async function realKubelet({ manifestsDir }: Layout, images: readonly string[]): Promise<ControlPlane> {
  const prepare = await readFile(join(cloneDir, 'deploy/local/nodes/prepare-containers.sh'), 'utf8');
  const archives = images.map((name) => `${IMAGES}/${name}.tar`);
  return {
    files: {
      [PREPARE]: { text: prepare, mode: 0o755 },
      '/etc/containerd/config.toml': plain(CONTAINERD_CONFIG),
      [KUBELET_CONFIG]: plain(stringify(kubeletConfig(manifestsDir))),
      ...unitFile(
        'containerd',
        [`${PROGRAMS}/containerd`],
        [
          'Type=notify',
          'Delegate=yes',
          'KillMode=process',
          'TimeoutStartSec=180',
          'LimitNOFILE=1048576',
          `ExecStartPre=${PREPARE} machine`,
          `ExecStartPost=${PREPARE} images ${archives.join(' ')}`,
        ],
      ),
      ...unitFile(
        'kubelet',
        [
          `${PROGRAMS}/kubelet`,
          `--config=${KUBELET_CONFIG}`,
          '--container-runtime=remote',
          `--container-runtime-endpoint=unix://${SOCKET}`,
        ],
        [],
        ['containerd.service'],
      ),
    },
    units: ['containerd.service', 'kubelet.service'],
  };
}

const CONTAINERD_CONFIG = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "${SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  # A machine in a machine may lower nobody's score.
  restrict_oom_score_adj = true
`;

/** Standalone: it knows of no kube-apiserver, only of its folder. What looks at the host's disk and memory is off. */
function kubeletConfig(manifestsDir: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    staticPodPath: manifestsDir,
    address: '127.0.0.1',
    authentication: { anonymous: { enabled: false }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    cgroupDriver: 'cgroupfs',
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    resolvConf: '',
    imageGCHighThresholdPercent: 100,
    evictionHard: Object.fromEntries(
      ['memory.available', 'nodefs.available', 'nodefs.inodesFree', 'imagefs.available'].map((what) => [what, '0%']),
    ),
  };
}
