/** Staying connected. */
import { describe, expect, test } from 'vitest';
import { keepConnected } from '../../src/chat/connections.ts';
import type { SocketConnection } from '../../src/chat/connections.ts';
import { fakeClock } from '../fakes/clock.ts';
import { silentLog } from './samples.ts';

/** A connection that the test makes, breaks, and keeps from coming about. */
class FakeConnection implements SocketConnection {
  starts = 0;
  closed = 0;
  failure: Error | undefined;
  silent = false;
  #ended: () => void = () => undefined;

  start(): Promise<unknown> {
    this.starts += 1;
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return this.silent ? new Promise(() => undefined) : Promise.resolve();
  }
  disconnect(): Promise<unknown> {
    this.closed += 1;
    return Promise.resolve();
  }
  on(_: 'disconnected', listener: () => void): void {
    this.#ended = listener;
  }
  end(): void {
    this.#ended();
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const AWAY = Object.assign(new Error('away'), { code: 'slack_webapi_request_error' });

function world(count = 2) {
  const clock = fakeClock();
  const connections = Array.from({ length: count }, () => new FakeConnection());
  const dead: string[] = [];
  const start = () =>
    keepConnected({ connections, clock, log: silentLog, deadAfterMs: 60_000, onDead: (why) => dead.push(why) });
  const [first, second] = connections;
  if (first === undefined) throw new Error('no connection');
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 100) {
      await clock.advance(Math.min(100, left));
      await settle();
    }
  };
  return { clock, connections, first, second: second ?? first, dead, start, pass };
}

describe('a connection', () => {
  test('that Slack refreshes is made again at once, while the other one hears', async () => {
    const { first, second, start, pass } = world();
    const kept = start();
    await kept.ready(1000);
    await settle();
    expect(kept.open).toBe(2);
    await pass(10_000);
    first.end();
    await settle();
    expect([first.starts, second.starts]).toEqual([2, 1]);
    expect(kept.open).toBe(2);
    await kept.stop();
  });

  test('that is closed as soon as it is opened is not made again in a hurry', async () => {
    const { first, start, pass } = world(1);
    const kept = start();
    await settle();
    for (let i = 0; i < 5; i += 1) {
      first.end();
      await pass(1000);
    }
    expect(first.starts).toBeLessThan(5);
    await kept.stop();
  });

  test('comes back however long Slack was away', async () => {
    const { first, start, pass, dead } = world(1);
    first.failure = AWAY;
    const kept = start();
    await pass(40_000);
    expect(kept.open).toBe(0);
    expect(first.starts).toBeGreaterThan(5);
    first.failure = undefined;
    await pass(16_000);
    expect(kept.open).toBe(1);
    await pass(120_000);
    expect(dead).toEqual([]);
    await kept.stop();
  });

  test('whose hello does not come is given up and made again', async () => {
    const { first, start, pass } = world(1);
    first.silent = true;
    const kept = start();
    await pass(15_100);
    expect(first.closed).toBe(1);
    first.silent = false;
    await pass(1000);
    expect(kept.open).toBe(1);
    await kept.stop();
  });

  test('waits as long as a 429 says', async () => {
    const { first, start, pass } = world(1);
    first.failure = Object.assign(new Error('429'), { code: 'slack_webapi_rate_limited_error', retryAfter: 20 });
    const kept = start();
    await pass(19_000);
    expect(first.starts).toBe(1);
    await pass(2000);
    expect(first.starts).toBe(2);
    await kept.stop();
  });
});

describe('the watchdog', () => {
  test('calls once when nothing is connected for too long', async () => {
    const { connections, start, pass, dead } = world();
    const kept = start();
    await kept.ready(1000);
    for (const c of connections) {
      c.failure = AWAY;
      c.end();
    }
    await pass(59_000);
    expect(dead).toEqual([]);
    await pass(2000);
    expect(dead).toEqual(['no connection to Slack for 60 s']);
    await pass(120_000);
    expect(dead).toHaveLength(1);
    await kept.stop();
  });

  test('is calm while one of two is connected', async () => {
    const { first, start, pass, dead } = world();
    const kept = start();
    await kept.ready(1000);
    first.failure = AWAY;
    first.end();
    await pass(120_000);
    expect(dead).toEqual([]);
    await kept.stop();
  });

  test('is silent after a stop', async () => {
    const { start, pass, dead } = world();
    const kept = start();
    await kept.ready(1000);
    await kept.stop();
    await pass(120_000);
    expect(dead).toEqual([]);
  });
});

describe('the start', () => {
  test('with a token that Slack refuses is refused, with what to do', async () => {
    const { connections, start } = world();
    for (const c of connections) {
      c.failure = Object.assign(new Error('no'), {
        code: 'slack_webapi_platform_error',
        data: { error: 'invalid_auth' },
      });
    }
    const kept = start();
    await expect(kept.ready(1000)).rejects.toMatchObject({ code: 'slack.refused' });
    await kept.stop();
  });

  test('with Slack away goes on after its patience', async () => {
    const { connections, start, clock } = world();
    for (const c of connections) c.failure = AWAY;
    const kept = start();
    const ready = kept.ready(1000);
    await clock.advance(1000);
    await ready;
    expect(kept.open).toBe(0);
    await kept.stop();
  });
});

test('a stop closes every connection and makes none again', async () => {
  const { connections, start, pass } = world();
  const kept = start();
  await kept.ready(1000);
  await kept.stop();
  await pass(60_000);
  expect(connections.map((c) => c.starts)).toEqual([1, 1]);
  expect(connections.every((c) => c.closed > 0)).toBe(true);
});
