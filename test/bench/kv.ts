/** Owns puts into etcd for benchmarks: many at once to fill it, or one at a time at a steady pace to feel how it does. */
import { connect } from 'node:net';
import { openGrpc, type GrpcSession } from '../../src/adapters/etcd/grpc.ts';

export interface EtcdAccess {
  readonly address: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export async function openKv({ address, ca, cert, key }: EtcdAccess): Promise<GrpcSession> {
  const socket = connect({ host: address, port: 2379, noDelay: true });
  return openGrpc(
    socket,
    { options: { ca, cert, key, host: address }, pinned: undefined },
    { window: 1 << 20, signal: new AbortController().signal },
  );
}

/** PutRequest: key is field 1, value field 2. */
export async function put(session: GrpcSession, key: string, value: Uint8Array): Promise<void> {
  const name = Buffer.from(key);
  const message = Buffer.concat([field(1, name), field(2, value)]);
  await session.unary('/etcdserverpb.KV/Put', message, { signal: new AbortController().signal });
}

function field(number: number, bytes: Uint8Array): Buffer {
  const prefix = [(number << 3) | 2];
  let length = bytes.length;
  for (; length > 0x7f; length = Math.floor(length / 128)) prefix.push((length & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([...prefix, length]), bytes]);
}
