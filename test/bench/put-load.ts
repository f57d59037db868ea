/**
 * Puts small values at a steady pace and times each. Argument: JSON `{access, perSecond}`. Says "ready" on stdout, goes on
 * until its stdin ends, and then prints the latencies in milliseconds as a JSON list.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { openKv, put, type EtcdAccess } from './kv.ts';

const { access, perSecond } = JSON.parse(process.argv[2] ?? '') as { access: EtcdAccess; perSecond: number };
const value = randomBytes(1024);
/** The same few keys again and again: the database must not grow. */
const KEYS = 100;

const session = await openKv(access);
for (let i = 0; i < KEYS; i += 1) await put(session, `/load/${i}`, value);
const latencies: number[] = [];
const running = new Set<Promise<void>>();
let count = 0;
// By the clock, not one after the other: a slow put must not hide those that would have waited behind it.
const timer = setInterval(() => {
  const started = performance.now();
  const one = put(session, `/load/${(count += 1) % KEYS}`, value).then(() => {
    latencies.push(performance.now() - started);
    running.delete(one);
  });
  running.add(one);
}, 1000 / perSecond);
console.log('ready');
process.stdin.resume();
await once(process.stdin, 'end');
clearInterval(timer);
await Promise.all(running);
session.close();
console.log(JSON.stringify(latencies));
