/** Owns what every SentMessages must do; run on the fake and on Redis. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SentMessages } from '../../src/ports.ts';

export interface MessagesBench {
  /** One more replica's messages on the same data. */
  open(): Promise<SentMessages>;
  close(): Promise<void>;
}

const SENT = { channel: 'C1', ts: '1795240800.000100', version: 2 };

export function sentMessagesContract(name: string, start: () => Promise<MessagesBench>): void {
  describe(`${name} keeps the contract of SentMessages`, () => {
    let bench: MessagesBench;
    let messages: SentMessages;

    beforeEach(async () => {
      bench = await start();
      messages = await bench.open();
    });
    afterEach(() => bench.close());

    test('a message nobody wrote is undefined', async () => {
      expect(await messages.read('m')).toBe(undefined);
    });

    test('a state is read as it was written, by any replica', async () => {
      const state = { text: 'ü ✅', parts: [1, null, { deep: true }], empty: {} };
      expect(await messages.changeState('m', state, 0)).toBe(true);
      const other = await bench.open();
      expect(await other.read('m')).toEqual({
        key: 'm',
        state,
        version: 1,
        sent: undefined,
        postingSince: undefined,
      });
    });

    test('only the expected version is changed', async () => {
      expect(await messages.changeState('m', 'first', 1)).toBe(false);
      expect(await messages.read('m')).toBe(undefined);
      expect(await messages.changeState('m', 'first', 0)).toBe(true);
      expect(await messages.changeState('m', 'again', 0)).toBe(false);
      expect(await messages.changeState('m', 'second', 1)).toBe(true);
      expect(await messages.read('m')).toMatchObject({ state: 'second', version: 2 });
    });

    test('of two changes at once one wins', async () => {
      const other = await bench.open();
      const won = await Promise.all([messages.changeState('m', 'a', 0), other.changeState('m', 'b', 0)]);
      expect([...won].sort()).toEqual([false, true]);
      expect(await messages.read('m')).toMatchObject({ state: won[0] ? 'a' : 'b', version: 1 });
    });

    test('posting is remembered before the post, and ends when it is sent', async () => {
      await messages.changeState('m', 'first', 0);
      await messages.markPosting('m', new Date('2026-11-21T06:00:00.000Z'));
      expect(await messages.read('m')).toMatchObject({ postingSince: '2026-11-21T06:00:00.000Z', sent: undefined });
      await messages.markSent('m', SENT);
      expect(await messages.read('m')).toMatchObject({ postingSince: undefined, sent: SENT, version: 1 });
    });

    test('a change of state leaves what was sent as it is', async () => {
      await messages.changeState('m', 'first', 0);
      await messages.markSent('m', SENT);
      await messages.changeState('m', 'second', 1);
      expect(await messages.read('m')).toMatchObject({ state: 'second', version: 2, sent: SENT });
    });
  });
}
