/** Owns how people write durations and sizes in the configuration: `15m`, `8h`, `50MB`. */

const DURATION: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE: Readonly<Record<string, number>> = {
  '': 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/** `90s`, `15m`, `8h`, `2d` → milliseconds; undefined when it is none of these. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * (DURATION[match[2] ?? ''] ?? NaN);
}

/** `50MB`, `64MiB`, `1000000` → bytes; undefined when it is none of these. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,12})\s?(|kB|MB|GB|KiB|MiB|GiB)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * (SIZE[match[2] ?? ''] ?? NaN);
}
