/** Owns how etcd runs on a local node: its settings, its unit or manifest, and where they are written. */
import { caPath, pairPaths, type Layout } from './layouts.ts';
import { manifest } from './manifest.ts';

export type EtcdVersion = '3.4' | '3.5';

export interface EtcdSettings {
  readonly version: EtcdVersion;
  readonly clusterName: string;
  readonly node: { readonly name: string; readonly address: string };
  /** All nodes of the cluster, this one too. */
  readonly peers: readonly { readonly name: string; readonly address: string }[];
  readonly layout: Layout;
  /** What the image's user `etcd` is called by number. */
  readonly etcdUser: { readonly uid: number; readonly gid: number };
  readonly quotaBytes: number | undefined;
}

/** Programs by version, in the image. */
export const etcdPrograms: Readonly<
  Record<EtcdVersion, { readonly etcd: string; readonly etcdctl: string; readonly version: string }>
> = {
  '3.4': { etcd: '/opt/etcd-3.4/etcd', etcdctl: '/opt/etcd-3.4/etcdctl', version: '3.4.23' },
  '3.5': { etcd: '/usr/bin/etcd', etcdctl: '/usr/bin/etcdctl', version: '3.5.16' },
};

const UNIT = '/etc/systemd/system/etcd.service';

/** Where the settings stand that start etcd: what an operator lets Keyturn read when etcd is stopped. */
export function settingsPath({ etcd, settings, manifestsDir }: Layout): string {
  if (etcd === 'static-pod') return `${manifestsDir}/etcd.yaml`;
  return { flags: UNIT, environment: '/etc/etcd.env', 'default-file': '/etc/default/etcd' }[settings];
}

/** Files by path on the node. */
export function etcdFiles(settings: EtcdSettings): Record<string, string> {
  const { layout, version } = settings;
  const program = etcdPrograms[version].etcd;
  const flags = Object.entries(flagsOf(settings)).map(([key, value]) => `--${key}=${value}`);
  const file = settingsPath(layout);
  if (layout.etcd === 'static-pod') {
    const { tlsDir, dataDir, walDir } = layout;
    const options = {
      ...(layout.user === 'etcd' && { user: settings.etcdUser }),
      version: etcdPrograms[version].version,
      folders: [tlsDir, dataDir, ...(walDir === undefined ? [] : [walDir])],
    };
    // By its bare name, as kubeadm writes it: a container has its own search path.
    return { [file]: manifest('etcd', [version === '3.5' ? 'etcd' : program, ...flags], options) };
  }
  const environment = `EnvironmentFile=${file}\n`;
  switch (layout.settings) {
    case 'flags':
      return { [UNIT]: unit(layout, '', [program, ...flags].join(' \\\n  ')) };
    case 'environment': {
      const variables = flags.map((flag) => /^--([a-z-]+)=(.*)$/s.exec(flag) ?? []);
      const text = variables
        .map(([, k = '', v = '']) => `ETCD_${k.toUpperCase().replaceAll('-', '_')}=${v}\n`)
        .join('');
      return { [file]: text, [UNIT]: unit(layout, environment, program) };
    }
    case 'default-file':
      return {
        [file]: `DAEMON_ARGS="${flags.join(' ')}"\n`,
        [UNIT]: unit(layout, environment, `${program} $DAEMON_ARGS`),
      };
  }
}

function flagsOf({ clusterName, node, peers, layout, quotaBytes }: EtcdSettings): Record<string, string> {
  const [server, peer, ca] = [pairPaths(layout, 'server'), pairPaths(layout, 'peer'), caPath(layout)];
  return {
    name: node.name,
    'data-dir': layout.dataDir,
    ...(layout.walDir === undefined ? {} : { 'wal-dir': layout.walDir }),
    'listen-client-urls': `https://127.0.0.1:2379,https://${node.address}:2379`,
    'advertise-client-urls': `https://${node.address}:2379`,
    'listen-peer-urls': `https://${node.address}:2380`,
    'initial-advertise-peer-urls': `https://${node.address}:2380`,
    'initial-cluster': peers.map((each) => `${each.name}=https://${each.address}:2380`).join(','),
    'initial-cluster-token': clusterName,
    'initial-cluster-state': 'new',
    'client-cert-auth': 'true',
    'trusted-ca-file': ca,
    'cert-file': server.certificate,
    'key-file': server.key,
    'peer-client-cert-auth': 'true',
    'peer-trusted-ca-file': ca,
    'peer-cert-file': peer.certificate,
    'peer-key-file': peer.key,
    'listen-metrics-urls': 'http://127.0.0.1:2381',
    ...(quotaBytes === undefined ? {} : { 'quota-backend-bytes': String(quotaBytes) }),
  };
}

function unit({ user }: Layout, environment: string, command: string): string {
  return `[Unit]
Description=etcd
After=network.target

[Service]
Type=notify
${user === 'root' ? '' : `User=${user}\n`}${environment}ExecStart=${command}
Restart=always
RestartSec=1
LimitNOFILE=65536
TimeoutStartSec=0

[Install]
WantedBy=multi-user.target
`;
}
