/** Owns how a local control-plane node is laid out: what keeps etcd and kube-apiserver running, and where their files lie. */

/** How a component is kept running: a unit, or a manifest in the kubelet's folder. */
export type KeptBy = 'systemd' | 'static-pod';

export interface Layout {
  readonly etcd: KeptBy;
  /** kube-apiserver, and with it kube-scheduler and kube-controller-manager; 'none': etcd alone. */
  readonly apiServer: KeptBy | 'none';
  /**
   * Where etcd under systemd has its settings from. `flags`: the unit. `environment`: ETCD_… in /etc/etcd.env.
   * `default-file`: DAEMON_ARGS in /etc/default/etcd. A static pod has flags.
   */
  readonly settings: 'flags' | 'environment' | 'default-file';
  /** etcd's certificates. */
  readonly tlsDir: string;
  /** Of the cluster's CA; `tlsDir` when undefined. */
  readonly caDir: string | undefined;
  /** kube-apiserver's certificates. */
  readonly apiTlsDir: string;
  /** `kubeadm`: server.crt and server.key. `pem`: server.pem and server-key.pem. */
  readonly tlsNames: 'kubeadm' | 'pem';
  readonly dataDir: string;
  /** Undefined: within the data directory. */
  readonly walDir: string | undefined;
  /** Directories that are filesystems of their own, and outlast a boot, e.g. the data directory. */
  readonly mounts: readonly string[];
  /** Whom the data belong to, and who etcd runs as. */
  readonly user: 'root' | 'etcd';
  /** The kubelet's folder of static pods. */
  readonly manifestsDir: string;
  /** A kubeconfig with all rights in /etc/kubernetes/admin.conf. */
  readonly adminConf: boolean;
  /** One more machine with sshd only, as jump host. */
  readonly bastion: boolean;
}

const etcdAlone: Layout = {
  etcd: 'systemd',
  apiServer: 'none',
  settings: 'flags',
  tlsDir: '/etc/kubernetes/pki/etcd',
  caDir: undefined,
  apiTlsDir: '/etc/kubernetes/pki',
  tlsNames: 'kubeadm',
  dataDir: '/var/lib/etcd',
  walDir: undefined,
  mounts: [],
  user: 'root',
  manifestsDir: '/etc/kubernetes/manifests',
  adminConf: true,
  bastion: false,
};

const kubeadm: Layout = { ...etcdAlone, etcd: 'static-pod', apiServer: 'static-pod' };

/** Layouts that people have, by name; the letters are those of the procedures that Keyturn replaces. */
export const LAYOUTS = {
  /** etcd under systemd and nothing else: all that backups need. */
  etcd: etcdAlone,
  /** All of it static pods. */
  kubeadm,
  /** etcd under systemd, kube-apiserver a static pod. */
  a: { ...kubeadm, etcd: 'systemd' },
  /** All of it static pods, the CA apart from the certificates. */
  b: { ...kubeadm, tlsDir: '/etc/kubernetes/ssl', caDir: '/etc/kubernetes/ssl/etcd', apiTlsDir: '/etc/kubernetes/ssl' },
  /** etcd under systemd by its own user, on a disk of its own; the rest static pods; behind a bastion. */
  c: {
    ...kubeadm,
    etcd: 'systemd',
    settings: 'default-file',
    tlsDir: '/etc/kubernetes/certs',
    apiTlsDir: '/etc/kubernetes/certs',
    dataDir: '/var/lib/etcddisk',
    mounts: ['/var/lib/etcddisk'],
    user: 'etcd',
    bastion: true,
  },
  /** All of it under systemd, installed by hand. */
  e: {
    ...etcdAlone,
    apiServer: 'systemd',
    settings: 'environment',
    tlsDir: '/opt/kubernetes/ssl',
    apiTlsDir: '/opt/kubernetes/ssl',
    tlsNames: 'pem',
    dataDir: '/var/lib/etcd/default.etcd',
    adminConf: false,
  },
} as const satisfies Record<string, Layout>;

export type LayoutName = keyof typeof LAYOUTS;

/** Paths of a certificate and its key. */
export interface PairPaths {
  readonly certificate: string;
  readonly key: string;
}

export function caPath({ tlsDir, caDir, tlsNames }: Layout): string {
  return `${caDir ?? tlsDir}/ca.${tlsNames === 'pem' ? 'pem' : 'crt'}`;
}

/** `name` as in `pki.ts`; kube-apiserver's own pairs lie in its folder. */
export function pairPaths({ tlsDir, apiTlsDir, tlsNames }: Layout, name: string): PairPaths {
  const base = `${name.startsWith('apiserver') ? apiTlsDir : tlsDir}/${name}`;
  return tlsNames === 'pem'
    ? { certificate: `${base}.pem`, key: `${base}-key.pem` }
    : { certificate: `${base}.crt`, key: `${base}.key` };
}

/** Whether a kubelet runs: wherever there is more than etcd. */
export function hasKubelet({ etcd, apiServer }: Layout): boolean {
  return etcd === 'static-pod' || apiServer !== 'none';
}
