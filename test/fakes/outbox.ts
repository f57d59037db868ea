/** An outbox in memory: the same rules as the one on Redis. */
import type { Clock, Outbox, Worker } from '../../src/ports.ts';

export interface FakeOutbox extends Outbox {
  /** Keys that wait for delivery, the one that is being delivered not among them. */
  readonly waiting: readonly string[];
}

type Handler = Parameters<Outbox['deliver']>[0];

export function fakeOutbox(clock: Clock, options: { readonly retryMs?: number } = {}): FakeOutbox {
  const waiting: string[] = [];
  /** Keys whose delivery threw, until their next try is due. */
  const resting = new Set<string>();
  const handlers: { readonly deliver: Handler }[] = [];
  let running:
    { readonly key: string; readonly by: { readonly deliver: Handler }; ended: Promise<unknown> } | undefined;
  let paused = false;

  function pump(): void {
    const by = handlers[0];
    if (running !== undefined || paused || by === undefined) return;
    const key = waiting.shift();
    if (key === undefined) return;
    const turn = { key, by, ended: Promise.resolve() as Promise<unknown> };
    running = turn;
    turn.ended = by
      .deliver(key, () => running === turn)
      .then(
        (answer) => running === turn && settle(key, answer),
        () => running === turn && settle(key, 'threw'),
      );
  }

  function settle(key: string, answer: Awaited<ReturnType<Handler>> | 'threw'): void {
    running = undefined;
    if (answer === 'threw') rest(key);
    else if (answer !== 'delivered') pause(key, answer.pauseMs);
    pump();
  }

  function pause(key: string, ms: number): void {
    putFirst(key);
    paused = true;
    void clock.sleep(ms).then(() => {
      paused = false;
      pump();
    });
  }

  function rest(key: string): void {
    remove(key);
    resting.add(key);
    void clock.sleep(options.retryMs ?? 1_000).then(() => {
      resting.delete(key);
      putFirst(key);
      pump();
    });
  }

  function putFirst(key: string): void {
    remove(key);
    waiting.unshift(key);
  }

  function remove(key: string): void {
    const at = waiting.indexOf(key);
    if (at >= 0) waiting.splice(at, 1);
  }

  return {
    waiting,
    async enqueue(key) {
      if (!waiting.includes(key) && !resting.has(key)) waiting.push(key);
      pump();
    },
    async deliver(deliver): Promise<Worker> {
      const me = { deliver };
      handlers.push(me);
      pump();
      return {
        async stop(graceMs) {
          const at = handlers.indexOf(me);
          if (at >= 0) handlers.splice(at, 1);
          const mine = running?.by === me ? running : undefined;
          if (mine === undefined) return;
          await Promise.race([mine.ended, clock.sleep(graceMs)]);
          if (running !== mine) return;
          running = undefined;
          putFirst(mine.key);
          pump();
        },
      };
    },
    async close() {
      handlers.length = 0;
    },
  };
}
