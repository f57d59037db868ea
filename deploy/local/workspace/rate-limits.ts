/** Owns how often the app may call: Slack's tiers, and about one post a second in a channel with a small burst. */

/** `post` counts per channel, every other rate per method. Numbers are calls a minute and calls at once. */
const RATES = {
  post: { perMinute: 60, burst: 5 },
  tier1: { perMinute: 10, burst: 20 },
  tier2: { perMinute: 20, burst: 20 },
  tier3: { perMinute: 50, burst: 50 },
  tier4: { perMinute: 100, burst: 100 },
  /** auth.test: hundreds a minute. */
  special: { perMinute: 600, burst: 300 },
} as const;

export type Rate = keyof typeof RATES;

interface Bucket {
  tokens: number;
  at: number;
}

export class RateLimits {
  private readonly buckets = new Map<string, Bucket>();
  private blockedUntil = 0;

  /** Takes one call of `key` (a method, or a method in a channel). Undefined: go on; else the seconds to wait. */
  take(rate: Rate, key: string, now: number = Date.now()): number | undefined {
    if (now < this.blockedUntil) return Math.ceil((this.blockedUntil - now) / 1000);
    const { perMinute, burst } = RATES[rate];
    const bucket = this.buckets.get(key) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) * perMinute) / 60_000);
    bucket.at = now;
    this.buckets.set(key, bucket);
    if (bucket.tokens < 1) return Math.max(1, Math.ceil(((1 - bucket.tokens) * 60) / perMinute));
    bucket.tokens -= 1;
    return undefined;
  }

  /** Every call is refused for so long. */
  blockAll(ms: number, now: number = Date.now()): void {
    this.blockedUntil = now + ms;
  }
}
