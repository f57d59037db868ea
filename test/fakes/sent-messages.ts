/** Sent messages in memory. */
import type { MessageRecord, SentMessages } from '../../src/ports.ts';

export function fakeSentMessages(): SentMessages {
  const records = new Map<string, MessageRecord>();

  function change(key: string, fields: Partial<MessageRecord>): void {
    const record = records.get(key);
    if (record !== undefined) records.set(key, { ...record, ...fields });
  }

  return {
    async read(key) {
      const record = records.get(key);
      return record === undefined ? undefined : structuredClone(record);
    },
    async changeState(key, state, expectedVersion) {
      const record = records.get(key) ?? { key, state, version: 0, sent: undefined, postingSince: undefined };
      if (record.version !== expectedVersion) return false;
      records.set(key, { ...record, state: JSON.parse(JSON.stringify(state)), version: expectedVersion + 1 });
      return true;
    },
    async markPosting(key, since) {
      change(key, { postingSince: since.toISOString() });
    },
    async markSent(key, sent) {
      change(key, { sent: { ...sent }, postingSince: undefined });
    },
  };
}
