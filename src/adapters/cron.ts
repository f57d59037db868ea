/** Owns what cron expressions mean (cron-parser) and the ticker that runs every minute (node-cron). */
import { CronExpressionParser } from 'cron-parser';
import { createTask, type Logger } from 'node-cron';
import { KeyturnError } from '../domain/error.ts';
import type { CronCalendar, Log } from '../ports.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3600 * 1000;
/** No zone changes its clock twice within so long. */
const SURE_MS = 14 * 24 * HOUR_MS;

/**
 * Where clocks change, cron-parser's answer depends on the time it is asked from: a run may be found from before and
 * not from after. So a run is what is found from a quiet time before it. Then a run in the hour that is skipped happens
 * an hour later, a run in the hour that comes twice happens once, and `next` and `previous` agree. One known limit:
 * cron-parser gets lost where clocks change by half an hour (only Australia/Lord_Howe does), and throws there that day.
 */
export const cronCalendar: CronCalendar = {
  next(expression, timezone, after) {
    check(expression, timezone);
    const start = steady(timezone, after.getTime() - 3 * HOUR_MS, after.getTime() + 3 * HOUR_MS)
      ? after
      : quietBefore(timezone, after);
    for (const run of runsAfter(expression, timezone, start)) if (run > after) return run;
    throw invalid(`The schedule "${expression}" never fires.`);
  },
  previous(expression, timezone, at) {
    check(expression, timezone);
    const guess = guessPrevious(expression, timezone, at);
    if (steady(timezone, guess.getTime() - 3 * HOUR_MS, at.getTime() + 3 * HOUR_MS)) return guess;
    let last = guess;
    for (const run of runsAfter(expression, timezone, quietBefore(timezone, guess))) {
      if (run > at) break;
      last = run;
    }
    return last;
  },
};

/**
 * Calls `task` at every full minute, never twice at once: a tick that comes while the last one still runs is left out.
 * After a process hung (a frozen machine, a blocked event loop) the newest tick is made up for, however late.
 * `stop` resolves when a running task has ended; safe twice. A task that throws is logged, and called again next minute.
 */
export function everyMinute(task: () => Promise<void>, log: Log): { stop(): Promise<void> } {
  let running: Promise<void> = Promise.resolve();
  const once = (): Promise<void> => {
    running = task().catch((error: unknown) => log.error({ error }, 'The tick of this minute failed'));
    return running;
  };
  const ticker = createTask('* * * * *', once, {
    noOverlap: true,
    missedExecutionTolerance: MINUTE_MS,
    logger: toLogger(log),
  });
  void ticker.start();
  return {
    async stop() {
      await ticker.stop();
      await running;
    },
  };
}

/** node-cron warns of missed and overlapping ticks: missed runs are caught up at the next one, so that is detail. */
function toLogger(log: Log): Logger {
  const detail = (message: string | Error): void => log.debug({ ticker: String(message) }, "The ticker's own words");
  return { info: detail, warn: detail, error: detail, debug: detail };
}

function* runsAfter(expression: string, timezone: string, start: Date): Generator<Date> {
  const runs = parse(expression, timezone, start);
  for (;;) {
    const run = tryTo(expression, () => runs.next().toDate());
    yield run;
  }
}

function guessPrevious(expression: string, timezone: string, at: Date): Date {
  // cron-parser looks strictly before, and in whole seconds.
  const justAfter = new Date(Math.floor(at.getTime() / 1000) * 1000 + 1);
  return tryTo(expression, () => parse(expression, timezone, justAfter).prev().toDate());
}

function parse(expression: string, tz: string, currentDate: Date): ReturnType<typeof CronExpressionParser.parse> {
  return tryTo(expression, () => CronExpressionParser.parse(expression, { currentDate, tz }));
}

function tryTo<T>(expression: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw invalid(`The schedule "${expression}" is not a cron expression: ${said}.`, error);
  }
}

function check(expression: string, timezone: string): void {
  if (expression.trim().split(/\s+/).length !== 5) {
    throw invalid(`The schedule "${expression}" does not have five fields.`);
  }
  // cron-parser's `H` is another minute each time it is asked.
  if (/\bH\b/i.test(expression)) throw invalid(`The schedule "${expression}" has an H, which means no fixed time.`);
  offset(timezone, 0);
}

function invalid(message: string, cause?: unknown): KeyturnError {
  return new KeyturnError('config.invalid', message, {
    hint: 'Write minute, hour, day of month, month and day of week, e.g. "0 */6 * * *" for every six hours.',
    cause,
  });
}

/** The clock of the zone does not change between the two times. */
function steady(timezone: string, from: number, to: number): boolean {
  return to - from < SURE_MS && offset(timezone, from) === offset(timezone, to);
}

/** A time some hours before `time`, with no change of clocks near it. */
function quietBefore(timezone: string, time: Date): Date {
  let quiet = time.getTime() - 3 * HOUR_MS;
  while (!steady(timezone, quiet - 3 * HOUR_MS, quiet + 3 * HOUR_MS)) quiet -= 6 * HOUR_MS;
  return new Date(quiet);
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** The zone's distance from UTC at a time, as text, e.g. `GMT+02:00`. */
function offset(timezone: string, time: number): string {
  let format = formats.get(timezone);
  if (format === undefined) {
    try {
      format = new Intl.DateTimeFormat('en-US', { timeZone: timezone, timeZoneName: 'longOffset' });
    } catch (error) {
      throw new KeyturnError('config.invalid', `"${timezone}" is not a time zone.`, {
        hint: 'Use a name of the IANA time zone database, e.g. "Europe/Berlin" or "UTC".',
        cause: error,
      });
    }
    formats.set(timezone, format);
  }
  return format.formatToParts(time).find((part) => part.type === 'timeZoneName')?.value ?? '';
}
