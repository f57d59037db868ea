/** Owns what is told to people when etcd does not do what it was asked: one table from causes to codes and advice. */
import { KeyturnError } from '../../domain/error.ts';
import type { ErrorCode } from '../../domain/error.ts';
import { GrpcError } from './grpc.ts';

/** Where something went wrong: the member or node in words, and the certificate files in use there. */
export interface Place {
  readonly name: string;
  readonly endpoint: string;
  readonly tls: { readonly caFile: string; readonly certFile: string } | undefined;
}

/** gRPC status codes. */
const UNAVAILABLE = 14;
const REFUSALS = [3, 7, 16];

/** Makes one KeyturnError of whatever a call to etcd threw; KeyturnErrors and abort reasons pass. `other`: the code of the rest. */
export function etcdError(error: unknown, place: Place, other: ErrorCode, signal?: AbortSignal): Error {
  if (error instanceof KeyturnError) return error;
  if (signal?.aborted === true && error === signal.reason) return error as Error;
  if (error instanceof GrpcError) return fromStatus(error, place, other);
  return fromTls(error as NodeJS.ErrnoException, place) ?? rest(error as Error, place, other);
}

/** etcd tells apart by message what gRPC has one code for (etcd: api/v3rpc/rpctypes/error.go). */
function fromStatus(error: GrpcError, place: Place, other: ErrorCode): KeyturnError {
  const { code, message } = error.status;
  if (code === UNAVAILABLE && /no leader|leader changed/.test(message)) {
    return new KeyturnError('etcd.no-leader', `etcd at ${at(place)} has no leader: ${message}.`, {
      hint: 'Bring back a majority of the members; look at "/etcd status".',
      cause: error,
    });
  }
  if (REFUSALS.includes(code) && /permission denied|auth|user name|token|certificate/i.test(message)) {
    return new KeyturnError('etcd.auth', `etcd at ${at(place)} refused us: ${message}.`, {
      hint: `Give the user that the certificate ${place.tls?.certFile ?? ''} names the role root in etcd, or use another certificate.`,
      cause: error,
    });
  }
  return rest(error, place, other);
}

function rest(error: Error, place: Place, code: ErrorCode): KeyturnError {
  return new KeyturnError(code, `etcd at ${at(place)} did not answer as it should: ${sentence(error.message)}`, {
    hint: `Look at etcd's log on ${place.name}, and at "/etcd status".`,
    cause: error,
  });
}

type Advice = (place: Place, error: NodeJS.ErrnoException) => readonly [ErrorCode, string, string];

const wrongCa: Advice = (place) => [
  'etcd.tls',
  `is not signed by ${place.tls?.caFile ?? 'the CA'}`,
  `Check that ${place.tls?.caFile ?? 'the CA file'} on ${place.name} is the CA of etcd's certificate.`,
];

/** By the code of Node's TLS error. */
const TLS_ADVICE: Readonly<Record<string, Advice>> = {
  CERT_HAS_EXPIRED: (place) => [
    'etcd.tls',
    'has expired',
    `Renew ${place.tls?.certFile ?? 'it'} on ${place.name} (kubeadm: "kubeadm certs renew all") and restart etcd.`,
  ],
  CERT_NOT_YET_VALID: (place) => ['etcd.tls', 'is not valid yet', `Check the clocks of ${place.name} and of Keyturn.`],
  ERR_TLS_CERT_ALTNAME_INVALID: (place, error) => [
    'etcd.tls',
    `names other hosts (${sentence(error.message)})`,
    `Add 127.0.0.1 or the node's address to the certificate ${place.tls?.certFile ?? ''} on ${place.name}.`,
  ],
  DEPTH_ZERO_SELF_SIGNED_CERT: wrongCa,
  SELF_SIGNED_CERT_IN_CHAIN: wrongCa,
  UNABLE_TO_GET_ISSUER_CERT: wrongCa,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: wrongCa,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: wrongCa,
  CERT_SIGNATURE_FAILURE: wrongCa,
  CERT_UNTRUSTED: wrongCa,
};

function fromTls(error: NodeJS.ErrnoException, place: Place): KeyturnError | undefined {
  const code = error.code ?? '';
  const advice = TLS_ADVICE[code]?.(place, error);
  if (advice !== undefined) {
    return new KeyturnError(advice[0], `The certificate of etcd at ${at(place)} ${advice[1]}.`, {
      hint: advice[2],
      cause: error,
    });
  }
  // The other side sent an alert, or took our certificate for none of its CA's.
  if (/^ERR_SSL_.*(ALERT|CERTIFICATE)/.test(code)) {
    const why = code
      .replace(/^ERR_SSL_(SSLV3_|TLSV1_|TLSV13_)?(ALERT_)?/, '')
      .replaceAll('_', ' ')
      .toLowerCase();
    return new KeyturnError('etcd.auth', `etcd at ${at(place)} refused our client certificate: ${why}.`, {
      hint: `Check that ${place.tls?.certFile ?? 'the certificate'} on ${place.name} is signed by etcd's --trusted-ca-file and allows client use.`,
      cause: error,
    });
  }
  return undefined;
}

export function at(place: Place): string {
  return `${place.name} (${place.endpoint})`;
}

function sentence(text: string): string {
  return `${text.replace(/[.\s]+$/, '')}.`;
}

/** Of what etcdctl printed on its way out. */
export function etcdctlError(
  result: { readonly code: number | undefined; readonly stderr: string },
  place: Place,
  other: ErrorCode,
): KeyturnError {
  const { code, stderr } = result;
  if (code === 127) {
    return new KeyturnError('node.command-failed', `${place.name} has no etcdctl.`, {
      hint: `Allow TCP forwarding in sshd on ${place.name} ("AllowTcpForwarding local"), or install etcdctl there.`,
    });
  }
  if (/no leader|leader changed/.test(stderr)) {
    return fromStatus(new GrpcError({ code: UNAVAILABLE, message: 'etcdserver: no leader' }), place, other);
  }
  // etcdctl prints its log as JSON; the sentence for people is in the last line that is none.
  const said =
    stderr
      .trim()
      .split('\n')
      .findLast((line) => !line.startsWith('{')) ?? `exit code ${code ?? 'unknown'}`;
  return rest(new Error(said.replace(/^Error: /, '')), place, other);
}
