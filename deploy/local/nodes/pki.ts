/** Owns a cluster's certificates, laid out as kubeadm does: one CA, and for each node server, peer and client pairs. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { programOf, type Loader } from '../parts/programs.ts';

/** etcd's pairs of certificate and key that each node has. */
export const pairNames = ['server', 'peer', 'healthcheck-client'] as const;
/** kube-apiserver's: what it shows, and what it shows to etcd. */
export const apiPairNames = ['apiserver', 'apiserver-etcd-client'] as const;
export type PairName = (typeof pairNames)[number] | (typeof apiPairNames)[number];

export function isApiPair(pair: PairName): boolean {
  return apiPairNames.some((name) => name === pair);
}

/** What each is good for, and its common name; undefined: the node's name. `admin` is a person's. */
const profiles: Readonly<Record<PairName | 'admin', { readonly usage: string; readonly commonName?: string }>> = {
  server: { usage: 'serverAuth,clientAuth' },
  peer: { usage: 'serverAuth,clientAuth' },
  'healthcheck-client': { usage: 'clientAuth', commonName: 'kube-etcd-healthcheck-client' },
  apiserver: { usage: 'serverAuth', commonName: 'kube-apiserver' },
  'apiserver-etcd-client': { usage: 'clientAuth', commonName: 'kube-apiserver-etcd-client' },
  admin: { usage: 'clientAuth', commonName: 'kubernetes-admin' },
};

export interface Pki {
  /** PEM of the CA's certificate. */
  readonly ca: string;
  /** Makes one pair for a node. `notAfter` may lie in the past. */
  issue(
    pair: PairName | 'admin',
    node: { readonly name: string; readonly address: string },
    notAfter: Date,
  ): Promise<{ readonly certificate: string; readonly key: string }>;
}

/** Makes a CA in `dir` (its key stays there), good for ten years. Uses the image's openssl. */
export async function makePki(dir: string, loader: Loader, clusterName: string): Promise<Pki> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const now = Date.now();
  const openssl = async (args: readonly string[]): Promise<void> => {
    const [program, ...all] = programOf(loader, 'usr/bin/openssl', args);
    await execa(program, all, {
      cwd: dir,
      env: { OPENSSL_CONF: join(loader.rootfs, 'etc/ssl/openssl.cnf') },
      stdin: 'ignore',
    });
  };
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await openssl([
    ...request,
    ...['-subj', `/CN=etcd-ca ${clusterName}`, '-keyout', 'ca.key', '-out', 'ca.crt'],
    ...['-not_before', asn1(now - hour), '-not_after', asn1(now + 87_600 * hour)],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign,digitalSignature'],
  ]);
  return {
    ca: await readFile(join(dir, 'ca.crt'), 'utf8'),
    issue: async (pair, node, notAfter) => {
      const file = `${node.name}-${pair}`;
      await openssl([
        ...[...request, '-CA', 'ca.crt', '-CAkey', 'ca.key'],
        ...['-subj', `/O=system:masters/CN=${profiles[pair].commonName ?? node.name}`],
        ...['-keyout', `${file}.key`, '-out', `${file}.crt`],
        ...['-not_before', asn1(Math.min(now, notAfter.getTime()) - hour), '-not_after', asn1(notAfter.getTime())],
        ...['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `extendedKeyUsage=${profiles[pair].usage}`],
        ...['-addext', `subjectAltName=DNS:localhost,DNS:${node.name},IP:127.0.0.1,IP:::1,IP:${node.address}`],
      ]);
      const read = async (end: string): Promise<string> => readFile(join(dir, `${file}.${end}`), 'utf8');
      return { certificate: await read('crt'), key: await read('key') };
    },
  };
}

const hour = 3_600_000;

/** `YYYYMMDDHHMMSSZ` */
function asn1(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
}
