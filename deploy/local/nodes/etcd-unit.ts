/** Owns how etcd runs on a systemd node: its settings, its unit, and where they are written. */

export type EtcdVersion = '3.4' | '3.5';

export interface EtcdSettings {
  readonly version: EtcdVersion;
  /** `flags`: on the command line. `environment`: in /etc/etcd.env, read by `EnvironmentFile=`. */
  readonly style: 'flags' | 'environment';
  readonly clusterName: string;
  readonly node: { readonly name: string; readonly address: string };
  /** All nodes of the cluster, this one too. */
  readonly peers: readonly { readonly name: string; readonly address: string }[];
  readonly tlsDir: string;
  readonly dataDir: string;
  readonly quotaBytes: number | undefined;
}

/** Programs by version, in the image. */
export const etcdPrograms: Readonly<Record<EtcdVersion, { readonly etcd: string; readonly etcdctl: string }>> = {
  '3.4': { etcd: '/opt/etcd-3.4/etcd', etcdctl: '/opt/etcd-3.4/etcdctl' },
  '3.5': { etcd: '/usr/bin/etcd', etcdctl: '/usr/bin/etcdctl' },
};

/** Files by path on the node. */
export function etcdFiles(settings: EtcdSettings): Record<string, string> {
  const flags = Object.entries(flagsOf(settings));
  if (settings.style === 'flags') {
    return {
      '/etc/systemd/system/etcd.service': unit(settings, '', flags.map(([k, v]) => ` \\\n  --${k}=${v}`).join('')),
    };
  }
  const variables = flags.map(([k, v]) => `ETCD_${k.toUpperCase().replaceAll('-', '_')}=${v}\n`).join('');
  return {
    '/etc/etcd.env': variables,
    '/etc/systemd/system/etcd.service': unit(settings, 'EnvironmentFile=/etc/etcd.env\n', ''),
  };
}

function flagsOf({ clusterName, node, peers, tlsDir, dataDir, quotaBytes }: EtcdSettings): Record<string, string> {
  return {
    name: node.name,
    'data-dir': dataDir,
    'listen-client-urls': `https://127.0.0.1:2379,https://${node.address}:2379`,
    'advertise-client-urls': `https://${node.address}:2379`,
    'listen-peer-urls': `https://${node.address}:2380`,
    'initial-advertise-peer-urls': `https://${node.address}:2380`,
    'initial-cluster': peers.map((peer) => `${peer.name}=https://${peer.address}:2380`).join(','),
    'initial-cluster-token': clusterName,
    'initial-cluster-state': 'new',
    'client-cert-auth': 'true',
    'trusted-ca-file': `${tlsDir}/ca.crt`,
    'cert-file': `${tlsDir}/server.crt`,
    'key-file': `${tlsDir}/server.key`,
    'peer-client-cert-auth': 'true',
    'peer-trusted-ca-file': `${tlsDir}/ca.crt`,
    'peer-cert-file': `${tlsDir}/peer.crt`,
    'peer-key-file': `${tlsDir}/peer.key`,
    'listen-metrics-urls': 'http://127.0.0.1:2381',
    ...(quotaBytes === undefined ? {} : { 'quota-backend-bytes': String(quotaBytes) }),
  };
}

function unit(settings: EtcdSettings, environment: string, flags: string): string {
  return `[Unit]
Description=etcd
After=network.target

[Service]
Type=notify
${environment}ExecStart=${etcdPrograms[settings.version].etcd}${flags}
Restart=always
RestartSec=1
LimitNOFILE=65536
TimeoutStartSec=0

[Install]
WantedBy=multi-user.target
`;
}
