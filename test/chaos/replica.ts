/** Owns one replica that is killed, frozen, stopped and started again, and the times in which it surely did its work. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bot } from '../support/bot.ts';
import type { Blow, Step } from './plan.ts';

/** From and to as `Date.now()`; nothing was done to the bot's first process in between. */
export interface Span {
  readonly from: number;
  to: number;
}

export interface Blown {
  readonly replica: string;
  readonly blow: Blow;
  readonly at: Date;
  readonly forMs: number;
}

export class Replica {
  readonly spans: Span[] = [];
  readonly blown: Blown[] = [];
  readonly bots: Bot[] = [];
  readonly name: string;
  readonly #start: () => Promise<Bot>;
  #bot: Bot | undefined;

  constructor(name: string, start: () => Promise<Bot>) {
    this.name = name;
    this.#start = start;
  }

  async start(): Promise<void> {
    this.#bot = await this.#start();
    this.bots.push(this.#bot);
    this.#surely();
  }

  /** Lives through the plan; ends with the bot up. `startedAt` is the plan's zero. */
  async suffer(steps: readonly Step[], startedAt: number): Promise<void> {
    for (const step of steps) {
      await sleep(Math.max(0, startedAt + step.at - Date.now()));
      await this.#take(step);
    }
  }

  /** Told to stop; ends with its processes. */
  async stop(): Promise<void> {
    this.#notAnyMore();
    await this.#bot?.stop();
  }

  async #take({ blow, forMs }: Step): Promise<void> {
    const bot = this.#bot;
    const pid = bot?.process.pid;
    if (bot === undefined || pid === undefined || bot.process.exitCode !== null)
      throw new Error(`replica ${this.name} was not up any more:\n${(await bot?.log())?.slice(-3_000) ?? ''}`);
    const worker = await workerOf(pid);
    this.blown.push({ replica: this.name, blow, at: new Date(), forMs });
    switch (blow) {
      case 'kill -9 worker':
        signal(worker, 'SIGKILL');
        return;
      case 'freeze worker':
        return freeze([worker], forMs);
      case 'freeze bot':
      case 'freeze both':
        this.#notAnyMore();
        await freeze(blow === 'freeze both' ? [pid, worker] : [pid], forMs);
        this.#surely();
        return;
      case 'kill -9 bot':
      case 'kill -9 both':
        this.#notAnyMore();
        if (blow === 'kill -9 both') signal(worker, 'SIGKILL');
        await bot.kill9();
        break;
      case 'kill -9 worker, then bot':
        // The next worker is just being started.
        signal(worker, 'SIGKILL');
        await sleep(500 + (forMs % 2_000));
        this.#notAnyMore();
        await bot.kill9();
        break;
      case 'stop':
        this.#notAnyMore();
        await bot.stop();
        break;
    }
    await sleep(forMs);
    await this.start();
  }

  #surely(): void {
    this.spans.push({ from: Date.now(), to: Infinity });
  }

  #notAnyMore(): void {
    const last = this.spans.at(-1);
    if (last?.to === Infinity) last.to = Date.now();
  }
}

async function freeze(pids: readonly (number | undefined)[], ms: number): Promise<void> {
  for (const pid of pids) signal(pid, 'SIGSTOP');
  await sleep(ms);
  for (const pid of pids) signal(pid, 'SIGCONT');
}

/** Nothing when the process is gone by now. */
function signal(pid: number | undefined, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, name);
  } catch {
    // It ended by itself in between.
  }
}

/** The worker that runs now; undefined when it is just being started again. */
async function workerOf(pid: number): Promise<number | undefined> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  for (const child of children.trim().split(' ').filter(Boolean).map(Number)) {
    const argv = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '');
    if (argv.includes('--role\0worker')) return child;
  }
  return undefined;
}
