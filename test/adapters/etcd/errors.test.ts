import { describe, expect, test } from 'vitest';
import { etcdctlError, etcdError } from '../../../src/adapters/etcd/errors.ts';
import { GrpcError } from '../../../src/adapters/etcd/grpc.ts';
import { KeyturnError } from '../../../src/domain/error.ts';

const place = { name: 'cp1', endpoint: '127.0.0.1:2379', tls: { caFile: '/ca.crt', certFile: '/server.crt' } };
const told = (error: unknown): KeyturnError => {
  const made = etcdError(error, place, 'etcd.unreachable');
  if (made instanceof KeyturnError) return made;
  throw made;
};
const withCode = (code: string): Error => Object.assign(new Error(code), { code });

describe('what etcd answers', () => {
  test.each([
    [14, 'etcdserver: no leader', 'etcd.no-leader'],
    [14, 'etcdserver: leader changed', 'etcd.no-leader'],
    [14, 'etcdserver: request timed out', 'etcd.unreachable'],
    [7, 'etcdserver: permission denied', 'etcd.auth'],
    [3, 'etcdserver: user name is empty', 'etcd.auth'],
    [16, 'etcdserver: invalid auth token', 'etcd.auth'],
    [3, 'etcdserver: key is not provided', 'etcd.unreachable'],
    [12, 'unknown service', 'etcd.unreachable'],
  ] as const)('with status %i, %j, is %s', (code, message, expected) => {
    const error = told(new GrpcError({ code, message }));
    expect(error.code).toBe(expected);
    expect(error.message).toContain('cp1 (127.0.0.1:2379)');
    expect(error.hint).not.toBe('');
  });
});

describe('what TLS says', () => {
  test.each([
    ['CERT_HAS_EXPIRED', 'etcd.tls', 'has expired'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'etcd.tls', 'names other hosts'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'etcd.tls', 'is not signed by /ca.crt'],
    ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'etcd.auth', 'refused our client certificate: bad certificate'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'etcd.auth', 'certificate required'],
    ['ECONNRESET', 'etcd.unreachable', 'did not answer as it should'],
  ] as const)('%s is %s: %s', (code, expected, words) => {
    const error = told(withCode(code));
    expect(error.code).toBe(expected);
    expect(error.message).toContain(words);
  });
});

test('what is said already, and the reason of a signal, pass as they are', () => {
  const lost = new KeyturnError('ssh.lost', 'gone', { hint: 'h' });
  expect(told(lost)).toBe(lost);
  const reason = new Error('enough');
  expect(etcdError(reason, place, 'etcd.unreachable', AbortSignal.abort(reason))).toBe(reason);
});

test('etcdctl is told by the last sentence that is no log line', () => {
  const stderr = '{"level":"warn","msg":"retrying"}\nError: snapshot is broken\n{"level":"info"}\n';
  expect(etcdctlError({ code: 1, stderr }, place, 'etcd.stream-broken').message).toContain('snapshot is broken.');
  expect(etcdctlError({ code: 127, stderr: '' }, place, 'etcd.unreachable').code).toBe('node.command-failed');
  expect(etcdctlError({ code: 1, stderr: 'Error: etcdserver: no leader' }, place, 'etcd.unreachable').code).toBe(
    'etcd.no-leader',
  );
});
