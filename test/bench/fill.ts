/** Fills an etcd with `bytes` of values that don't compress. Argument: JSON `{access, bytes}`. */
import { randomBytes } from 'node:crypto';
import { openKv, put, type EtcdAccess } from './kv.ts';

const { access, bytes } = JSON.parse(process.argv[2] ?? '') as { access: EtcdAccess; bytes: number };
const VALUE = 1024 * 1024;
const SIDE_BY_SIDE = 8;

const session = await openKv(access);
const count = Math.ceil(bytes / VALUE);
let next = 0;
const worker = async (): Promise<void> => {
  for (let i = next++; i < count; i = next++) await put(session, `/fill/${i}`, randomBytes(VALUE - 4096));
};
await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
session.close();
