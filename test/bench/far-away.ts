/** A delaying proxy as a process of its own. Argument: JSON of its options. Prints its port; ends with its stdin. */
import { once } from 'node:events';
import { startDelayProxy, type DelayProxyOptions } from '../local/delay-proxy.ts';

const proxy = await startDelayProxy(JSON.parse(process.argv[2] ?? '') as DelayProxyOptions);
console.log(proxy.port);
process.stdin.resume();
await once(process.stdin, 'end');
await proxy.close();
