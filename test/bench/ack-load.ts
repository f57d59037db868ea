/**
 * The load of the benchmark of acknowledgements, run in the nodes' network: a workspace, the whole bot, and people who
 * type. Argument: rounds. Prints one line of JSON (AckSamples) a round.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterSection, eventually, startWorld, type World } from '../support/bot.ts';

/** Milliseconds from sending a command to its acknowledgement. */
export interface AckSamples {
  readonly idle: readonly number[];
  readonly busy: readonly number[];
}

const COMMANDS = 200;
const PEOPLE = ['ada', 'grace', 'linus', 'noor'];
/** `backup` is asked by noor alone, who may not: an idle bot shall stay idle. */
const KINDS = ['help', 'clusters', 'status', 'status bench', 'snapshots bench', 'backup bench', 'bakcup bench', ''];
const PAUSE_MS = 300;
/** Slack gives up after 3 s; an ack that never came counts as ten times that. */
const NEVER_MS = 30_000;
/** 512 MB at this rate are 34 s: longer than the commands take. */
const RATE_LIMIT = '15MB';

const world = await startWorld();
try {
  await world.startBot({ clusters: [clusterSection(world.env, 'bench', { rateLimit: RATE_LIMIT, timeout: '5m' })] });
  // The first commands meet code that was never run.
  await typeAll(world);
  for (let round = 1; round <= Number(process.argv[2]); round += 1) {
    const idle = await typeAll(world);
    const busy = await duringBackup(world, () => typeAll(world));
    console.log(JSON.stringify({ idle, busy } satisfies AckSamples));
  }
} finally {
  await world.close();
}

async function typeAll({ workspace }: World): Promise<number[]> {
  const acks: number[] = [];
  const type = async (user: string, n: number): Promise<void> => {
    for (let i = 0; i < COMMANDS / PEOPLE.length; i += 1) {
      // Each begins elsewhere in the list, so that kinds meet.
      const kind = KINDS[(i + 2 * n) % KINDS.length] ?? '';
      const who = kind === 'backup bench' ? 'noor' : user;
      const { ackMs } = await workspace.runCommand(who, 'etcd-backups', `/etcd ${kind}`.trim());
      acks.push(ackMs ?? NEVER_MS);
      await sleep(PAUSE_MS + 50 * n);
    }
  };
  await Promise.all(PEOPLE.map(type));
  return acks;
}

/** Does `work` within one backup; throws when the backup was over before. */
async function duringBackup<T>({ workspace }: World, work: () => Promise<T>): Promise<T> {
  // Who may back up is asked of Slack anew, which answers so often a minute only: the commands before used that up.
  await sleep(60_000);
  const seen = new Set(workspace.messages('etcd-backups').map((message) => message.ts));
  await workspace.runCommand('ada', 'etcd-backups', '/etcd backup bench');
  const mine = (): string | undefined =>
    workspace
      .messages('etcd-backups')
      .find((message) => message.ephemeralFor === undefined && message.fromApp && !seen.has(message.ts))?.text;
  await eventually('a backup that runs', () => (/[1-9]\d* %/.test(mine() ?? '') ? true : undefined));
  const result = await work();
  if (mine()?.includes('running') !== true) throw new Error(`the backup was over too soon: ${mine() ?? 'no message'}`);
  await eventually('the end of the backup', () => (mine()?.includes('verified') === true ? true : undefined), 120_000);
  return result;
}
