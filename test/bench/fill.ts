/** Fills an etcd with `bytes` of values that compress as Kubernetes' objects do, to a third. Argument: JSON `{access, bytes}`. */
import { randomBytes } from 'node:crypto';
import { openKv, put, type EtcdAccess } from './kv.ts';

const { access, bytes } = JSON.parse(process.argv[2] ?? '') as { access: EtcdAccess; bytes: number };
const VALUE = 1024 * 1024 - 4096;
const SIDE_BY_SIDE = 8;

/** Names and fields that come again and again, and ids and hashes that never do. */
function objects(): Buffer {
  const found: string[] = [];
  for (let size = 0; size < VALUE; size += found.at(-1)?.length ?? VALUE) {
    const [uid, image, data] = [randomBytes(16).toString('hex'), randomBytes(32).toString('hex'), secret()];
    found.push(
      `{"kind":"Pod","apiVersion":"v1","metadata":{"namespace":"team","uid":"${uid}","labels":{"app.kubernetes.io/name":"web"}},` +
        `"spec":{"containers":[{"name":"web","image":"registry.example/web@sha256:${image}","imagePullPolicy":"IfNotPresent"}],` +
        `"restartPolicy":"Always","dnsPolicy":"ClusterFirst"},"status":{"phase":"Running","qosClass":"Burstable"},"data":"${data}"}`,
    );
  }
  return Buffer.from(found.join('')).subarray(0, VALUE);
}

function secret(): string {
  return randomBytes(90).toString('base64');
}

const session = await openKv(access);
const count = Math.ceil(bytes / VALUE);
let next = 0;
const worker = async (): Promise<void> => {
  for (let i = next++; i < count; i = next++) await put(session, `/fill/${i}`, objects());
};
await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
session.close();
