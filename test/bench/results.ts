/** Owns what a benchmark tells: named values with their unit, and how many measurements become one. */

export interface Result {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** How many times it was measured; the value is their median, or the percentile of all. */
  readonly runs: number;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** `part` from 0 to 1. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** The most memory that this process ever had, in bytes, as `/proc/self/status` has it. */
export function peakMemoryOf(status: string): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}
