/**
 * The line that this holds: two replicas, one schedule every minute, one of them hit at random for ten minutes (three in the
 * sample), and every minute has exactly one backup or one reported failure. `KEYTURN_CHAOS_STORY` names a file for all that
 * was logged.
 */
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { seedKeys } from '../../deploy/local/seed.ts';
import { redisConnections } from '../../src/adapters/redis/connection.ts';
import { redisClusterLease } from '../../src/adapters/redis/lease.ts';
import { redisJobQueue } from '../../src/adapters/redis/queue.ts';
import { redisSentMessages } from '../../src/adapters/redis/sent-messages.ts';
import type { BackupMessage } from '../../src/domain/backup-message.ts';
import { scheduledBackupId } from '../../src/domain/job.ts';
import { clusterSection, eventually, startWorld, type World } from '../support/bot.ts';
import { control } from '../support/control.ts';
import { stillThere } from '../support/leftovers.ts';
import { silentLog } from '../jobs/world.ts';
import { amount, SEED } from './amount.ts';
import { makePlan } from './plan.ts';
import { Replica } from './replica.ts';
import { linesOf, summary } from './summary.ts';
import { breaches, endOf, readRuns, stillRunning, type Run } from './verdict.ts';

const MINUTE_MS = 60_000;
const MINUTES = amount({ whole: 10, sample: 3 });
/** A bot that ran for so long within a minute has looked at the schedule in it: at its start, its tick, or its waking. */
const LOOKED_MS = 8_000;
const SLOW = { rateLimit: '2MB', timeout: '1m', stallTimeout: '10s' };
const PREFIX = `chaos-${process.pid}`;

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await seedKeys(control(world.env.controlSocket).cluster('newer'), 10_000, 1_200);
});
afterAll(async () => world.close());

function startReplica(name: string, schedule?: string): Promise<Awaited<ReturnType<World['startBot']>>> {
  const backup = { ...SLOW, ...(schedule === undefined ? {} : { schedule }) };
  const clusters = [clusterSection(world.env, 'newer', backup)];
  // A directory of its own: a configuration is not written anew under a worker that reads it.
  return world.startBot({ dir: `${world.dir}/${name}`, redisPrefix: PREFIX, clusters });
}

test(`two replicas hit at random for ${MINUTES} minutes: each minute has one backup or one reported failure`, async () => {
  console.log(`KEYTURN_CHAOS_SEED=${SEED}`);
  const replicas = ['a', 'b'].map((name) => new Replica(name, () => startReplica(name, '* * * * *')));
  onTestFailed(async () => console.log(await linesOf(replicas)));
  await Promise.all(replicas.map((replica) => replica.start()));

  const startedAt = Date.now();
  const plan = makePlan(SEED, replicas.length, MINUTES * MINUTE_MS);
  await Promise.all(replicas.map((replica, n) => replica.suffer(plan[n] ?? [], startedAt)));
  await Promise.all(replicas.map((replica) => replica.stop()));
  const endedAt = Date.now();

  // No more ticks: what is queued is worked off.
  const after = ['c', 'd'].map((name) => new Replica(name, () => startReplica(name)));
  await Promise.all(after.map((replica) => replica.start()));
  const attempts = await untilQuiet();

  const runs = await readRuns(world);
  console.log(summary({ seed: SEED, minutes: MINUTES, replicas, runs, attempts }));
  const story = process.env['KEYTURN_CHAOS_STORY'];
  if (story !== undefined) await writeFile(story, await linesOf([...replicas, ...after], Infinity));
  expect([...[...runs.values()].flatMap(breaches), ...missedMinutes(replicas, runs, startedAt, endedAt)]).toEqual([]);
  await eventually(
    'nothing left in the store',
    async () => ((await stillThere(world.store, 'newer')).length === 0 ? true : undefined),
    60_000,
  );
  await Promise.all(after.map((replica) => replica.stop()));
  expect(await stillRunning(world)).toEqual([]);
});

/** Waits until no backup is queued or runs and Slack has every message's newest state; the attempts of each operation. */
async function untilQuiet(): Promise<ReadonlyMap<string, number>> {
  const connections = redisConnections({
    url: world.env.redis.url,
    password: undefined,
    prefix: PREFIX,
    log: silentLog,
  });
  const queue = redisJobQueue(connections);
  const lease = redisClusterLease(connections);
  const sent = redisSentMessages(connections);
  try {
    return await eventually(
      'quiet',
      async () => {
        if ((await queue.pendingBackup('newer')) !== undefined || (await lease.current('newer')) !== undefined) return;
        const attempts = new Map<string, number>();
        for (const run of (await readRuns(world)).values()) {
          const record = await sent.read(run.operation);
          if (record === undefined || record.sent?.version !== record.version || endOf(run) === 'open') return;
          attempts.set(run.operation, (record.state as BackupMessage).attempt);
        }
        return attempts;
      },
      300_000,
    );
  } finally {
    await queue.close();
    await connections.close();
  }
}

/** The law of the schedule: a minute in which some bot surely looked has its run. The others have at most one. */
function missedMinutes(
  replicas: readonly Replica[],
  runs: ReadonlyMap<string, Run>,
  from: number,
  to: number,
): string[] {
  const spans = replicas.flatMap((replica) => replica.spans);
  const missed: string[] = [];
  for (let minute = Math.floor(from / MINUTE_MS) * MINUTE_MS; minute < to; minute += MINUTE_MS) {
    const looked = spans.some(
      (span) => Math.min(span.to, minute + MINUTE_MS) - Math.max(span.from, minute) >= LOOKED_MS,
    );
    const operation = scheduledBackupId('newer', new Date(minute));
    if (looked && !runs.has(operation)) missed.push(`${operation}: a bot was there, and there is no trace of a run`);
  }
  return missed;
}
