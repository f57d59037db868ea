/** Owns ids that work only a few times and only for a while: tickets, trigger ids, response URLs. */
import { randomBytes } from 'node:crypto';

export type Use<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: Refusal };
export type Refusal = 'unknown' | 'expired' | 'used';

interface Entry<T> {
  readonly value: T;
  readonly expiresAt: number;
  uses: number;
}

/** Hands out ids and counts their uses. Spent ids are remembered for a while, so that the refusal can say why. */
export class ShortLived<T> {
  private readonly entries = new Map<string, Entry<T>>();
  private readonly limits: { readonly ms: number; readonly uses: number };

  constructor(limits: { readonly ms: number; readonly uses: number }) {
    this.limits = limits;
  }

  add(value: T): string {
    this.forgetOld();
    const id = randomBytes(16).toString('hex');
    this.entries.set(id, { value, expiresAt: Date.now() + this.limits.ms, uses: 0 });
    return id;
  }

  use(id: string): Use<T> {
    const entry = this.entries.get(id);
    if (entry === undefined) return { ok: false, why: 'unknown' };
    if (Date.now() > entry.expiresAt) return { ok: false, why: 'expired' };
    if (entry.uses >= this.limits.uses) return { ok: false, why: 'used' };
    entry.uses += 1;
    return { ok: true, value: entry.value };
  }

  /** Entries are in order of age, so the old ones are in front. */
  private forgetOld(): void {
    const limit = Date.now() - 60_000;
    for (const [id, entry] of this.entries) {
      if (entry.expiresAt > limit) return;
      this.entries.delete(id);
    }
  }
}
