/** Owns what runs beside etcd on a local node: kubelet, kube-apiserver, kube-scheduler, kube-controller-manager; stand-ins, or the first two real. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { cloneDir } from '../parts/host.ts';
import { caPath, hasKubelet, pairPaths, type Layout, type PairPaths } from './layouts.ts';
import { manifest } from './manifest.ts';
import { KUBELET_CONFIG, realKubelet } from './real-kubelet.ts';
import { plain, unitFile, type ControlPlane, type File } from './units.ts';

export const ADMIN_CONF = '/etc/kubernetes/admin.conf';
const PROGRAMS = '/usr/local/bin';

/** `real`: with containerd; kube-apiserver is real too then, where it is a static pod. */
export type KubeletKind = 'stand-in' | 'real';

export interface ControlPlaneNode {
  readonly address: string;
  readonly kubelet: KubeletKind;
  /** `3.5.16`; a real kubelet runs etcd from an image of that version. */
  readonly etcdVersion: string;
}

/** Nothing where etcd is alone. */
export async function controlPlane(layout: Layout, node: ControlPlaneNode): Promise<ControlPlane> {
  if (!hasKubelet(layout)) return { files: {}, units: [] };
  const parts = [
    await (node.kubelet === 'real' ? realKubelet(layout, imagesOf(layout, node)) : standInKubelet(layout)),
    ...(layout.apiServer === 'none' ? [] : await components(layout, node)),
  ];
  return {
    files: Object.assign({}, ...parts.map(({ files }) => files)) as Record<string, File>,
    units: parts.flatMap(({ units }) => units),
  };
}

function imagesOf({ etcd, apiServer }: Layout, { etcdVersion }: ControlPlaneNode): readonly string[] {
  return [
    'shell',
    ...(etcd === 'static-pod' ? [`etcd-${etcdVersion}`] : []),
    ...(apiServer === 'static-pod' ? ['kube-apiserver'] : []),
  ];
}

async function standInKubelet({ manifestsDir }: Layout): Promise<ControlPlane> {
  const config = { apiVersion: 'kubelet.config.k8s.io/v1beta1', kind: 'KubeletConfiguration' };
  return {
    files: {
      ...(await program('kubelet', 'kubelet.py')),
      ...(await program('crictl', 'crictl.sh')),
      [KUBELET_CONFIG]: plain(stringify({ ...config, staticPodPath: manifestsDir })),
      ...unitFile('kubelet', [`${PROGRAMS}/kubelet`, `--config=${KUBELET_CONFIG}`]),
    },
    units: ['kubelet.service'],
  };
}

async function components(layout: Layout, { address, kubelet }: ControlPlaneNode): Promise<ControlPlane[]> {
  const server = pairPaths(layout, 'apiserver');
  const client = pairPaths(layout, 'apiserver-etcd-client');
  const isReal = kubelet === 'real' && layout.apiServer === 'static-pod';
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
    ...(isReal ? realFlags(server) : []),
  ];
  const place = { layout, programsAreThere: isReal };
  return Promise.all([
    component(place, 'kube-apiserver', 'kube-apiserver.py', flags),
    component(place, 'kube-scheduler', 'waits.sh', ['--leader-elect=true']),
    component(place, 'kube-controller-manager', 'waits.sh', ['--leader-elect=true']),
  ]);
}

/** What the real one asks for besides. Nobody here has a service account: any pair will do. */
function realFlags({ certificate, key }: PairPaths): readonly string[] {
  return [
    '--authorization-mode=Node,RBAC',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${certificate}`,
    `--service-account-signing-key-file=${key}`,
    '--service-cluster-ip-range=10.96.0.0/12',
  ];
}

/** `programsAreThere`: in the image that the pod runs from. */
async function component(
  { layout, programsAreThere }: { readonly layout: Layout; readonly programsAreThere: boolean },
  name: string,
  source: string,
  flags: readonly string[],
): Promise<ControlPlane> {
  const { apiServer, manifestsDir } = layout;
  const files = programsAreThere ? {} : await program(name, source);
  if (apiServer !== 'static-pod') {
    return { files: { ...files, ...unitFile(name, [`${PROGRAMS}/${name}`, ...flags]) }, units: [`${name}.service`] };
  }
  const text = manifest(name, [name, ...flags], { folders: certificateFolders(layout) });
  return { files: { ...files, [`${manifestsDir}/${name}.yaml`]: { text, mode: 0o600 } }, units: [] };
}

/** None that lies in another. */
function certificateFolders({ apiTlsDir, tlsDir, caDir = tlsDir }: Layout): readonly string[] {
  const all = [...new Set([apiTlsDir, tlsDir, caDir])];
  return all.filter((folder) => !all.some((other) => folder.startsWith(`${other}/`)));
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
