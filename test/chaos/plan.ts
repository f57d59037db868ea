/** Owns what is done to the replicas and when: a plan made from a seed, so that a bad run can be had again. Pure. */

export const BLOWS = [
  'kill -9 bot',
  'kill -9 worker',
  'kill -9 both',
  'kill -9 worker, then bot',
  'freeze bot',
  'freeze worker',
  'freeze both',
  'stop',
] as const;
export type Blow = (typeof BLOWS)[number];

export interface Step {
  /** Milliseconds from the start of the plan. */
  readonly at: number;
  readonly blow: Blow;
  /** How long it stays frozen, or down before it is started again. */
  readonly forMs: number;
}

export type Random = (min: number, max: number) => number;

/** Whole numbers from `min` to `max`, the same for the same seed (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed | 0;
  return (min, max) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return min + Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * (max - min + 1));
  };
}

/** A blackout is a time in which every replica is down, for longer than a minute. */
const BLACKOUT_EVERY_MS = 300_000;
/** Time for a start, so that a blackout is not shortened by a replica that was just being started. */
const STARTING_MS = 8_000;

/** One list of steps a replica, each in order of time. Within a blackout all are down. */
export function makePlan(seed: number, replicas: number, lengthMs: number): Step[][] {
  const random = randomFrom(seed);
  const blackouts = Array.from({ length: Math.max(1, Math.floor(lengthMs / BLACKOUT_EVERY_MS)) }, (_, n) => {
    const from = n * BLACKOUT_EVERY_MS;
    const latest = Math.min(from + BLACKOUT_EVERY_MS, lengthMs) - 100_000;
    return { at: random(from + 20_000, Math.max(from + 20_000, latest)), forMs: random(66_000, 90_000) };
  });
  return Array.from({ length: replicas }, () => stepsOf(random, blackouts, lengthMs));
}

function stepsOf(random: Random, blackouts: readonly { at: number; forMs: number }[], lengthMs: number): Step[] {
  const steps: Step[] = [];
  const ahead = [...blackouts];
  let at = random(3_000, 15_000);
  while (at < lengthMs) {
    const blow = BLOWS[random(0, BLOWS.length - 1)] ?? 'stop';
    const forMs = blow.startsWith('freeze') ? random(2_000, 35_000) : random(500, 15_000);
    const [next] = ahead;
    if (next !== undefined && at + forMs + STARTING_MS > next.at) {
      ahead.shift();
      steps.push({ at: next.at, blow: random(0, 1) === 0 ? 'kill -9 both' : 'stop', forMs: next.forMs });
      at = next.at + next.forMs;
    } else {
      steps.push({ at, blow, forMs });
      at += forMs;
    }
    at += STARTING_MS + random(0, 25_000);
  }
  return steps;
}
