/**
 * Downtime as clients feel it: asks `/readyz` of every node's kube-apiserver many times a second. Argument: JSON
 * `{addresses, everyMs}`. A line of stdin ends a stretch of time, answered with JSON of the `Downtime` within it.
 */
import { Agent, get } from 'node:https';
import { createInterface } from 'node:readline';

export interface Downtime {
  /** The longest time in which no node said ok, milliseconds. */
  readonly ms: number;
  /** Answers that said ok. */
  readonly oks: number;
}

const { addresses, everyMs } = JSON.parse(process.argv[2] ?? '') as { addresses: string[]; everyMs: number };
/** A hanging server must not keep others from being asked. */
const MOST_OPEN = 8;
const TIMEOUT_MS = 2_000;

let oks: number[] = [];
for (const host of addresses) {
  // Who asks many times a second keeps the connection: TLS would cost more than what is measured.
  const agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
  let open = 0;
  setInterval(() => {
    if (open >= MOST_OPEN) return;
    open += 1;
    const request = get({ host, port: 6443, path: '/readyz', agent, timeout: TIMEOUT_MS }, (response) => {
      if (response.statusCode === 200) oks.push(performance.now());
      response.resume();
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => undefined);
    request.on('close', () => (open -= 1));
  }, everyMs);
}

createInterface(process.stdin).on('line', () => {
  const gaps = oks.map((at, i) => at - (oks[i - 1] ?? at));
  console.log(JSON.stringify({ ms: Math.max(0, ...gaps), oks: oks.length } satisfies Downtime));
  oks = oks.slice(-1);
});
process.stdin.on('end', () => process.exit(0));
