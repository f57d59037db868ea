/** Owns what runs beside etcd on a local node, all of it stand-ins: kubelet with its crictl, kube-apiserver, kube-scheduler, kube-controller-manager. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { cloneDir } from '../parts/host.ts';
import { caPath, hasKubelet, pairPaths, type Layout } from './layouts.ts';
import { manifest } from './manifest.ts';

export const ADMIN_CONF = '/etc/kubernetes/admin.conf';
const PROGRAMS = '/usr/local/bin';
const KUBELET_CONFIG = '/var/lib/kubelet/config.yaml';

interface File {
  readonly text: string;
  readonly mode: number;
}

export interface ControlPlane {
  /** Files by path on the node. */
  readonly files: Readonly<Record<string, File>>;
  /** Units that start at boot. */
  readonly units: readonly string[];
}

/** Nothing where etcd is alone. */
export async function controlPlane(layout: Layout, node: { readonly address: string }): Promise<ControlPlane> {
  if (!hasKubelet(layout)) return { files: {}, units: [] };
  const parts = [await kubelet(layout), ...(layout.apiServer === 'none' ? [] : await components(layout, node))];
  return {
    files: Object.assign({}, ...parts.map(({ files }) => files)) as Record<string, File>,
    units: parts.flatMap(({ units }) => units),
  };
}

async function kubelet({ manifestsDir }: Layout): Promise<ControlPlane> {
  const config = { apiVersion: 'kubelet.config.k8s.io/v1beta1', kind: 'KubeletConfiguration' };
  return {
    files: {
      ...(await program('kubelet', 'kubelet.py')),
      ...(await program('crictl', 'crictl.sh')),
      [KUBELET_CONFIG]: plain(stringify({ ...config, staticPodPath: manifestsDir })),
      ...unit('kubelet', [`${PROGRAMS}/kubelet`, `--config=${KUBELET_CONFIG}`]),
    },
    units: ['kubelet.service'],
  };
}

async function components(layout: Layout, { address }: { readonly address: string }): Promise<ControlPlane[]> {
  const server = pairPaths(layout, 'apiserver');
  const client = pairPaths(layout, 'apiserver-etcd-client');
  const flags = [
    `--advertise-address=${address}`,
    '--secure-port=6443',
    `--client-ca-file=${apiCaPath(layout)}`,
    `--tls-cert-file=${server.certificate}`,
    `--tls-private-key-file=${server.key}`,
    '--etcd-servers=https://127.0.0.1:2379',
    `--etcd-cafile=${caPath(layout)}`,
    `--etcd-certfile=${client.certificate}`,
    `--etcd-keyfile=${client.key}`,
  ];
  return Promise.all([
    component(layout, 'kube-apiserver', 'kube-apiserver.py', flags),
    component(layout, 'kube-scheduler', 'waits.sh', ['--leader-elect=true']),
    component(layout, 'kube-controller-manager', 'waits.sh', ['--leader-elect=true']),
  ]);
}

async function component(
  { apiServer, manifestsDir }: Layout,
  name: string,
  source: string,
  flags: readonly string[],
): Promise<ControlPlane> {
  const files = await program(name, source);
  return apiServer === 'static-pod'
    ? {
        files: { ...files, [`${manifestsDir}/${name}.yaml`]: { text: manifest(name, [name, ...flags]), mode: 0o600 } },
        units: [],
      }
    : { files: { ...files, ...unit(name, [`${PROGRAMS}/${name}`, ...flags]) }, units: [`${name}.service`] };
}

/** The CA that kube-apiserver's clients are held to, in its own folder. */
export function apiCaPath(layout: Layout): string {
  return caPath({ ...layout, tlsDir: layout.apiTlsDir, caDir: undefined });
}

/** A kubeconfig that carries its certificates itself, as kubeadm's does; PEM texts. */
export function adminConf(
  node: { readonly address: string },
  pems: { readonly ca: string; readonly certificate: string; readonly key: string },
): string {
  const coded = (pem: string): string => Buffer.from(pem).toString('base64');
  const [name, user] = ['kubernetes', 'kubernetes-admin'];
  const server = `https://${node.address}:6443`;
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name, cluster: { 'certificate-authority-data': coded(pems.ca), server } }],
      contexts: [{ name: `${user}@${name}`, context: { cluster: name, user } }],
      'current-context': `${user}@${name}`,
      users: [
        {
          name: user,
          user: { 'client-certificate-data': coded(pems.certificate), 'client-key-data': coded(pems.key) },
        },
      ],
    },
    { lineWidth: 0 },
  );
}

async function program(name: string, source: string): Promise<Record<string, File>> {
  const text = await readFile(join(cloneDir, 'deploy/local/nodes/stand-ins', source), 'utf8');
  return { [`${PROGRAMS}/${name}`]: { text, mode: 0o755 } };
}

function unit(name: string, argv: readonly string[]): Record<string, File> {
  const text = `[Unit]
Description=${name}
After=network.target
StartLimitIntervalSec=0

[Service]
ExecStart=${argv.join(' \\\n  ')}
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
`;
  return { [`/etc/systemd/system/${name}.service`]: plain(text) };
}

function plain(text: string): File {
  return { text, mode: 0o644 };
}
