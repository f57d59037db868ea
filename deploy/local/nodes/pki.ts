/** Owns a cluster's certificates, laid out as kubeadm does: one CA, and for each node server, peer and client pairs. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { programOf, type Loader } from '../parts/programs.ts';

/** The pairs `<name>.crt` and `<name>.key` that each node has beside `ca.crt`. */
export const pairNames = ['server', 'peer', 'healthcheck-client'] as const;
export type PairName = (typeof pairNames)[number];

const usages: Readonly<Record<PairName, string>> = {
  server: 'serverAuth,clientAuth',
  peer: 'serverAuth,clientAuth',
  'healthcheck-client': 'clientAuth',
};

export interface Pki {
  /** PEM of the CA's certificate. */
  readonly ca: string;
  /** Makes one pair for a node. `notAfter` may lie in the past. */
  issue(
    pair: PairName,
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
        ...[
          '-subj',
          `/O=system:masters/CN=${pair === 'healthcheck-client' ? 'kube-etcd-healthcheck-client' : node.name}`,
        ],
        ...['-keyout', `${file}.key`, '-out', `${file}.crt`],
        ...['-not_before', asn1(Math.min(now, notAfter.getTime()) - hour), '-not_after', asn1(notAfter.getTime())],
        ...['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `extendedKeyUsage=${usages[pair]}`],
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
