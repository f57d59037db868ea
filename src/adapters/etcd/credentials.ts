/** Owns the certificates that open etcd's door: etcd's own files, read on the node into memory, and judged before use. */
import { X509Certificate } from 'node:crypto';
import { posix } from 'node:path';
import tls from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import type { EtcdOnNode } from '../../domain/cluster.ts';
import { KeyturnError } from '../../domain/error.ts';
import { hostOf } from '../../domain/etcd-commands.ts';
import type { NodeConnection } from '../../ports.ts';
import { readAsLogin, readFiles } from './node-files.ts';

/** Extended key usage: TLS client authentication (RFC 5280, 4.2.1.12). */
const CLIENT_USE = '1.3.6.1.5.5.7.3.2';

/** What TLS to one member needs. */
export interface Credentials {
  readonly options: ConnectionOptions;
  /** Where etcd has no CA file: the only certificate to be trusted, by its sha256 as Node prints it. */
  readonly pinned: string | undefined;
  /** Which of the node's files were taken. */
  readonly files: NonNullable<EtcdOnNode['tls']>;
}

/**
 * Reads what a client of this etcd needs; the private key only when etcd asks clients for certificates. Throws etcd.tls
 * (not readable as a certificate, or expired: which file, and when), node.command-failed, node.sudo-denied, ssh.*.
 */
export async function readCredentials(
  connection: NodeConnection,
  etcd: EtcdOnNode,
  asksForCertificate: boolean,
  now: Date,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  if (etcd.tls === undefined) return undefined;
  const files = etcd.tls;
  const [ca = NOTHING, cert = NOTHING] = await readFiles(connection, [files.caFile, files.certFile], signal);
  const authority = valid(etcd.node, files.caFile, ca, now);
  const own = valid(etcd.node, files.certFile, cert, now);
  const trust: ConnectionOptions =
    files.caFile === files.certFile
      ? { rejectUnauthorized: false }
      : { ca, checkServerIdentity: anyNameOf(etcd, connection.node.address) };
  const pinned = files.caFile === files.certFile ? own.fingerprint256 : undefined;
  if (!asksForCertificate) return { options: trust, pinned, files };

  const client = mayBeClient(own)
    ? { certFile: files.certFile, keyFile: files.keyFile, cert }
    : await otherCertificate(connection, files.certFile, authority, now, signal);
  const [key = NOTHING] = await readFiles(connection, [client.keyFile], signal);
  return {
    options: { ...trust, cert: client.cert, key },
    pinned,
    files: { caFile: files.caFile, certFile: client.certFile, keyFile: client.keyFile },
  };
}

const NOTHING = Buffer.alloc(0);

/** SSH has proved the machine and TLS proves the CA; so the name may be any by which this etcd is known. */
function anyNameOf(etcd: EtcdOnNode, address: string): NonNullable<ConnectionOptions['checkServerIdentity']> {
  const known = [...etcd.listenClientUrls, ...etcd.advertiseClientUrls].map(hostOf);
  const names = [...new Set(['127.0.0.1', 'localhost', address, ...known])].filter((name) => name !== undefined);
  return (_host, certificate) => {
    const errors = names.map((name) => tls.checkServerIdentity(name, certificate));
    return errors.every((error) => error !== undefined) ? errors[0] : undefined;
  };
}

function mayBeClient(certificate: X509Certificate): boolean {
  // No list of usages means every usage; Node's types don't know that it may be missing.
  const usages = certificate.keyUsage as string[] | undefined;
  return usages === undefined || usages.includes(CLIENT_USE);
}

/** Client certificates that installers put beside the server's (kubeadm, hand-made), as certificate and key. */
const CLIENT_CERTIFICATES = [
  ['healthcheck-client.crt', 'healthcheck-client.key'],
  ['../apiserver-etcd-client.crt', '../apiserver-etcd-client.key'],
  ['client.crt', 'client.key'],
  ['client.pem', 'client-key.pem'],
] as const;

/** The server's certificate can't be a client's: looks for one beside it that the same CA signed. */
async function otherCertificate(
  connection: NodeConnection,
  serverCert: string,
  authority: X509Certificate,
  now: Date,
  signal: AbortSignal | undefined,
): Promise<{ readonly certFile: string; readonly keyFile: string; readonly cert: Buffer }> {
  const folder = posix.dirname(serverCert);
  const candidates = CLIENT_CERTIFICATES.map(
    ([crt, key]) => [posix.join(folder, crt), posix.join(folder, key)] as const,
  );
  const contents = await readAsLogin(
    connection,
    candidates.map(([crt]) => crt),
    signal,
  );
  for (const [i, [certFile, keyFile]] of candidates.entries()) {
    const cert = contents[i];
    if (cert === undefined) continue;
    const certificate = valid(connection.node.name, certFile, cert, now);
    if (mayBeClient(certificate) && certificate.checkIssued(authority)) return { certFile, keyFile, cert };
  }
  throw new KeyturnError(
    'etcd.tls',
    `etcd on ${connection.node.name} asks for client certificates, and ${serverCert} is for servers only.`,
    {
      hint: `Put a client certificate of etcd's CA at ${posix.join(folder, 'healthcheck-client.crt')} (key beside it), readable by the login.`,
    },
  );
}

function valid(node: string, file: string, pem: Buffer, now: Date): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (error) {
    throw new KeyturnError('etcd.tls', `${file} on ${node} is no certificate.`, {
      hint: `Run "openssl x509 -noout -text -in ${file}" on ${node}.`,
      cause: error,
    });
  }
  const until = new Date(certificate.validTo);
  if (until > now) return certificate;
  throw new KeyturnError('etcd.tls', `The certificate ${file} on ${node} expired on ${until.toISOString()}.`, {
    hint: 'Renew it (kubeadm: "kubeadm certs renew all") and restart etcd; until then etcd takes no new connections.',
  });
}
