/**
 * A process that takes up one job (or one delivery) of the queue on Redis, says so on its standard output, and then hangs
 * until a test kills it. Arguments: `job` or `delivery`, Redis' URL, prefix.
 */
import { redisConnections } from '../../../src/adapters/redis/connection.ts';
import { redisOutbox } from '../../../src/adapters/redis/outbox.ts';
import { redisJobQueue } from '../../../src/adapters/redis/queue.ts';
import { OUTBOX_TIMES, QUEUE_TIMES } from './times.ts';

const [, , kind, url, prefix] = process.argv;
if (url === undefined || prefix === undefined) throw new Error('usage: doomed.ts job|delivery URL PREFIX');

const quiet = (): undefined => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const connections = redisConnections({ url, password: undefined, prefix, log });
const forever = new Promise<never>(() => undefined);
const say = (what: string): void => void process.stdout.write(`${what}\n`);

if (kind === 'job') {
  const queue = redisJobQueue(connections, QUEUE_TIMES);
  const handler: Parameters<typeof queue.work>[0] = async (job, context) => {
    await context.remember(`attempt ${context.attempt}`);
    say(`took ${job.id}`);
    return forever;
  };
  await queue.work(handler, { concurrency: 1 });
} else {
  const outbox = redisOutbox(connections, log, OUTBOX_TIMES);
  await outbox.deliver(async (key) => {
    say(`took ${key}`);
    return forever;
  });
}
