import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { cronCalendar, everyMinute } from '../../src/adapters/cron.ts';
import { KeyturnError } from '../../src/domain/error.ts';

const at = (iso: string): Date => new Date(iso);
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

describe('when a schedule fires', () => {
  test('next is strictly after, previous is at or before', () => {
    const six = at('2026-11-21T06:00:00.000Z');
    expect(cronCalendar.next('0 6 * * *', 'UTC', six)).toEqual(at('2026-11-22T06:00:00.000Z'));
    expect(cronCalendar.next('0 6 * * *', 'UTC', at('2026-11-21T05:59:59.999Z'))).toEqual(six);
    expect(cronCalendar.previous('0 6 * * *', 'UTC', six)).toEqual(six);
    expect(cronCalendar.previous('0 6 * * *', 'UTC', at('2026-11-21T06:00:00.001Z'))).toEqual(six);
    expect(cronCalendar.previous('0 6 * * *', 'UTC', at('2026-11-21T05:59:59.999Z'))).toEqual(
      at('2026-11-20T06:00:00.000Z'),
    );
  });

  test('the hours are those of the time zone, in summer and in winter', () => {
    expect(cronCalendar.next('0 6 * * *', 'Europe/Berlin', at('2026-07-01T00:00:00Z'))).toEqual(
      at('2026-07-01T04:00:00Z'),
    );
    expect(cronCalendar.next('0 6 * * *', 'Europe/Berlin', at('2026-12-01T00:00:00Z'))).toEqual(
      at('2026-12-01T05:00:00Z'),
    );
  });

  test('a run in the hour that summer time skips happens an hour later, whenever one asks', () => {
    const run = at('2026-03-29T01:30:00Z');
    const daily = ['30 2 * * *', 'Europe/Berlin'] as const;
    for (const before of ['2026-03-28T12:00:00Z', '2026-03-29T00:59:00Z', '2026-03-29T01:00:00Z']) {
      expect(cronCalendar.next(...daily, at(before))).toEqual(run);
    }
    for (const after of ['2026-03-29T01:30:00Z', '2026-03-29T01:31:00Z', '2026-03-29T12:00:00Z']) {
      expect(cronCalendar.previous(...daily, at(after))).toEqual(run);
    }
  });

  test('a run in the hour that comes twice in autumn happens once, whenever one asks', () => {
    const run = at('2026-10-25T00:30:00Z');
    const tomorrow = at('2026-10-26T01:30:00Z');
    const daily = ['30 2 * * *', 'Europe/Berlin'] as const;
    for (const after of ['2026-10-25T00:30:00Z', '2026-10-25T01:15:00Z', '2026-10-25T01:30:00Z']) {
      expect(cronCalendar.next(...daily, at(after))).toEqual(tomorrow);
      expect(cronCalendar.previous(...daily, at(after))).toEqual(run);
    }
    expect(cronCalendar.previous(...daily, at('2026-10-25T12:00:00Z'))).toEqual(run);
  });

  test('an hourly run happens every hour through both changes', () => {
    for (const day of ['2026-03-29', '2026-10-25']) {
      let run = at(`${day}T00:00:00Z`);
      for (let hour = 0; hour < 6; hour += 1) {
        run = cronCalendar.next('30 * * * *', 'Europe/Berlin', run);
        expect(run).toEqual(at(`${day}T0${hour}:30:00Z`));
      }
    }
  });

  test('next and previous agree, through changes of clocks too', () => {
    const expression = fc.constantFrom(
      '* * * * *',
      '*/7 * * * *',
      '30 2 * * *',
      '0 */6 * * *',
      '15 1,2,3 * * 0',
      '0 0 1 * *',
    );
    const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Sydney', 'Asia/Kolkata');
    const around = fc.constantFrom('2026-03-08T07', '2026-03-29T01', '2026-04-04T15', '2026-10-25T01', '2026-11-01T06');
    const minutes = fc.integer({ min: -240, max: 240 });
    fc.assert(
      fc.property(expression, zone, around, minutes, (cron, tz, day, offset) => {
        const time = new Date(Date.parse(`${day}:00:00Z`) + offset * 60_000);
        const next = cronCalendar.next(cron, tz, time);
        const previous = cronCalendar.previous(cron, tz, time);
        expect(next > time && previous <= time).toBe(true);
        expect(cronCalendar.previous(cron, tz, next)).toEqual(next);
        expect(cronCalendar.next(cron, tz, new Date(previous.getTime() - 1))).toEqual(previous);
        expect(cronCalendar.next(cron, tz, previous)).toEqual(next);
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    ['five words that are no cron', 'a b c d e', 'UTC'],
    ['six fields', '0 0 6 * * *', 'UTC'],
    ['four fields', '0 6 * *', 'UTC'],
    ['a nickname', '@hourly', 'UTC'],
    ['no fixed minute', 'H 6 * * *', 'UTC'],
    ['a minute out of range', '61 * * * *', 'UTC'],
    ['a day that never comes', '0 0 30 2 *', 'UTC'],
    ['an unknown zone', '0 6 * * *', 'Mars/Base'],
  ])('%s is refused as a wrong configuration', (_, expression, timezone) => {
    for (const ask of ['next', 'previous'] as const) {
      let thrown: unknown;
      try {
        cronCalendar[ask](expression, timezone, at('2026-11-21T06:00:00Z'));
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(KeyturnError);
      expect((thrown as KeyturnError).code).toBe('config.invalid');
    }
  });

  test('days of the week can be named', () => {
    expect(cronCalendar.next('0 6 * * THU', 'UTC', at('2026-11-21T00:00:00Z'))).toEqual(at('2026-11-26T06:00:00Z'));
  });
});

describe('the ticker', () => {
  beforeEach(() => void vi.useFakeTimers({ now: at('2026-11-21T06:00:30.000Z') }));
  afterEach(() => void vi.useRealTimers());

  test('it ticks at every full minute until it is stopped', async () => {
    const ticks: string[] = [];
    const ticker = everyMinute(async () => void ticks.push(new Date().toISOString().slice(11, 16)), silent);
    await vi.advanceTimersByTimeAsync(150_000);
    await ticker.stop();
    await vi.advanceTimersByTimeAsync(150_000);
    await ticker.stop();
    expect(ticks).toEqual(['06:01', '06:02', '06:03']);
  });

  test('after a hang over a full minute the tick is made up for, once', async () => {
    const ticks: string[] = [];
    const ticker = everyMinute(async () => void ticks.push(new Date().toISOString().slice(11, 19)), silent);
    await vi.advanceTimersByTimeAsync(29_000);
    // The process is frozen from 06:00:59 to 06:03:40: its timers come late.
    vi.setSystemTime(at('2026-11-21T06:03:39.500Z'));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ticks).toEqual(['06:03:40']);
    await vi.advanceTimersByTimeAsync(30_000);
    await ticker.stop();
    expect(ticks).toEqual(['06:03:40', '06:04:00']);
  });

  test('a tick that throws is logged, and the next one comes', async () => {
    const errors: string[] = [];
    let ticks = 0;
    const task = async (): Promise<void> => {
      ticks += 1;
      throw new Error('no');
    };
    const ticker = everyMinute(task, { ...silent, error: (_, message) => void errors.push(message) });
    await vi.advanceTimersByTimeAsync(100_000);
    await ticker.stop();
    expect(ticks).toBe(2);
    expect(errors).toHaveLength(2);
  });

  test('a tick does not begin while the last one runs, and stop waits for it', async () => {
    let ticks = 0;
    let end = (): void => undefined;
    const task = (): Promise<void> => {
      ticks += 1;
      return new Promise((resolve) => {
        end = resolve;
      });
    };
    const ticker = everyMinute(task, silent);
    await vi.advanceTimersByTimeAsync(150_000);
    expect(ticks).toBe(1);
    let stopped = false;
    const stop = ticker.stop().then(() => {
      stopped = true;
    });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(stopped).toBe(false);
    end();
    await stop;
    expect(stopped).toBe(true);
  });
});
