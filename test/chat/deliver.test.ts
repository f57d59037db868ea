/** The last step of a message, with a Slack that limits, refuses, goes away, and with crashes in between. */
import { describe, expect, test } from 'vitest';
import { announcer } from '../../src/chat/announcer.ts';
import { deliverer } from '../../src/chat/deliver.ts';
import type { MessageApi } from '../../src/chat/deliver.ts';
import { alertKey, restoreKeys } from '../../src/chat/message-state.ts';
import type { KeyturnEvent } from '../../src/domain/event.ts';
import type { Log, SentMessages } from '../../src/ports.ts';
import { fakeClock } from '../fakes/clock.ts';
import { fakeSentMessages } from '../fakes/sent-messages.ts';
import { requester } from '../support/requests.ts';
import { changed, lives, opened, requests } from './restore-samples.ts';
import { events, record, silentLog } from './samples.ts';

const KEY = events.queued.operation;
const ASKED_IN = events.queued.origin.channel;

interface Posted {
  channel: string;
  ts: string;
  thread_ts?: string;
  text: string;
  blocks: unknown[];
  metadata: { event_type: string; event_payload: { key: string } };
}

/** An error as @slack/web-api throws it. */
function slackError(code: string, more: object = {}): Error {
  return Object.assign(new Error(code), { code: `slack_webapi_${code}`, ...more });
}
const refused = (error: string): Error => slackError('platform_error', { data: { ok: false, error } });
const AWAY = slackError('request_error');
const LIMITED = slackError('rate_limited_error', { retryAfter: 7 });

/** Slack in a few lines: keeps messages; `next` says what goes wrong with the next calls, in order. */
function fakeSlack() {
  const messages: Posted[] = [];
  const calls: string[] = [];
  const next: (Error | 'lost answer' | 'fine')[] = [];
  let ts = 0;
  const trouble = async (method: string, act: () => unknown): Promise<unknown> => {
    calls.push(method);
    const now = next.shift() ?? 'fine';
    if (now instanceof Error) throw now;
    const result = act();
    if (now === 'lost answer') throw AWAY;
    return Promise.resolve(result);
  };
  const api = {
    chat: {
      postMessage: (m: Posted) =>
        trouble('post', () => {
          const channel = m.channel.replace(/^U/, 'D'); // a person's id stands for the conversation with them
          const posted = { ...m, channel, ts: `17000000.${String((ts += 1)).padStart(6, '0')}` };
          messages.push(posted);
          return { channel: posted.channel, ts: posted.ts };
        }),
      update: (m: Posted) =>
        trouble('update', () => {
          const found = messages.find((x) => x.ts === m.ts && x.channel === m.channel);
          if (found === undefined) throw refused('message_not_found');
          Object.assign(found, m);
          return { channel: m.channel, ts: m.ts };
        }),
    },
    conversations: {
      history: ({ channel }: { channel: string }) =>
        trouble('history', () => ({
          messages: messages.filter((m) => m.channel === channel && m.thread_ts === undefined).reverse(),
        })),
      replies: ({ channel, ts: thread }: { channel: string; ts: string }) =>
        trouble('replies', () => ({
          messages: messages.filter((m) => m.channel === channel && (m.ts === thread || m.thread_ts === thread)),
        })),
      open: ({ users }: { users: string }) => trouble('open', () => ({ channel: { id: `D${users.slice(1)}` } })),
    },
  };
  return { api: api as unknown as MessageApi, messages, calls, next };
}

function world(sentMessages: SentMessages = fakeSentMessages(), log: Log = silentLog) {
  const clock = fakeClock();
  const slack = fakeSlack();
  const publish = announcer({ sentMessages, outbox: { enqueue: () => Promise.resolve() }, clock });
  const options = {
    slack: slack.api,
    sentMessages,
    channels: { results: 'CRESULTS', alerts: 'CALERTS' },
    command: '/etcd',
    oncall: 'S0ONCALL02',
    clock,
    log,
  };
  const restart = () => {
    const handler = deliverer(options);
    return (key: string, stillOurs = () => true) => handler(key, stillOurs);
  };
  return { ...slack, sentMessages, publish, deliver: restart(), restart };
}

async function publishAll(publish: (event: KeyturnEvent) => Promise<void>, ...all: KeyturnEvent[]): Promise<void> {
  for (const event of all) await publish(event);
}

describe('one message a backup', () => {
  test('is posted where it was asked for, then edited in place', async () => {
    const { publish, deliver, messages, calls } = world();
    await publish(events.queued);
    expect(await deliver(KEY)).toBe('delivered');
    await publishAll(publish, events.started, events.stored);
    expect(await deliver(KEY)).toBe('delivered');
    expect(calls).toEqual(['post', 'update']);
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatchObject({
      channel: ASKED_IN,
      metadata: { event_type: 'keyturn_message', event_payload: { key: KEY } },
    });
    expect(messages[0]?.text).toContain('✅');
  });

  test('of a schedule is posted in the results channel', async () => {
    const { publish, deliver, messages } = world();
    await publish({ ...events.stored, record: record() });
    await deliver(KEY);
    expect(messages[0]?.channel).toBe('CRESULTS');
  });

  test('that is there in its newest version is left alone', async () => {
    const { publish, deliver, calls } = world();
    await publish(events.queued);
    await deliver(KEY);
    await deliver(KEY);
    expect(calls).toEqual(['post']);
  });

  test('is neither posted nor edited once another replica may deliver it', async () => {
    const { publish, deliver, messages, calls } = world();
    await publish(events.queued);
    expect(await deliver(KEY, () => false)).toEqual({ pauseMs: 0 });
    expect(messages).toEqual([]);
    await deliver(KEY);
    await publish(events.started);
    expect(await deliver(KEY, () => false)).toEqual({ pauseMs: 0 });
    expect(calls.filter((call) => call !== 'history')).toEqual(['post']);
  });

  test('that is not remembered is no reason to stop', async () => {
    expect(await world().deliver('gone')).toBe('delivered');
  });

  test('that failed has an alarm in the alerts channel which calls the people on call', async () => {
    const { publish, deliver, messages } = world();
    await publishAll(publish, events.started, events.failed);
    await deliver(KEY);
    await deliver(alertKey(KEY));
    expect(messages.map((m) => m.channel)).toEqual([ASKED_IN, 'CALERTS']);
    expect(messages[0]?.text).not.toContain('S0ONCALL02');
    expect(messages[1]?.text).toContain('<!subteam^S0ONCALL02>');
  });
});

describe('when Slack says wait, or is away', () => {
  test('a 429 pauses for as long as Retry-After says', async () => {
    const { publish, deliver, next } = world();
    await publish(events.queued);
    next.push(LIMITED);
    expect(await deliver(KEY)).toEqual({ pauseMs: 7000 });
    expect(await deliver(KEY)).toBe('delivered');
  });

  test('pauses grow to half a minute and start small again after a success', async () => {
    const { publish, deliver, next, sentMessages } = world();
    await publish(events.queued);
    // The first is the post; from then on it is looked for before each post.
    const pauses: unknown[] = [];
    for (let i = 0; i < 7; i += 1) {
      next.push(i % 2 === 0 ? AWAY : slackError('http_error', { statusCode: 503 }));
      pauses.push(await deliver(KEY));
    }
    expect(pauses.map((p) => (p as { pauseMs: number }).pauseMs)).toEqual([
      1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
    ]);
    expect(await deliver(KEY)).toBe('delivered');
    await publish(events.started);
    next.push(AWAY);
    expect(await deliver(KEY)).toEqual({ pauseMs: 1000 });
    expect((await sentMessages.read(KEY))?.sent?.version).toBe(1);
  });

  test.each(['invalid_auth', 'token_revoked', 'missing_scope'])('%s is loud, and pauses a minute', async (error) => {
    const loud: string[] = [];
    const { publish, deliver, next } = world(undefined, { ...silentLog, error: (_, m) => loud.push(m) });
    await publish(events.queued);
    next.push(refused(error));
    expect(await deliver(KEY)).toEqual({ pauseMs: 60_000 });
    expect(loud).toHaveLength(1);
  });

  test('an error that is not Slack’s is thrown, for the outbox to try again', async () => {
    const { publish, deliver, next } = world();
    await publish(events.queued);
    next.push(new TypeError('a bug'));
    await expect(deliver(KEY)).rejects.toThrow('a bug');
  });
});

describe('a post that may or may not have come about', () => {
  test('whose answer was lost is found by its key and edited, not posted twice', async () => {
    const { publish, deliver, next, messages, calls } = world();
    await publish(events.queued);
    next.push('lost answer');
    expect(await deliver(KEY)).toEqual({ pauseMs: 1000 });
    await publish(events.started);
    expect(await deliver(KEY)).toBe('delivered');
    expect(calls).toEqual(['post', 'history', 'update']);
    expect(messages).toHaveLength(1);
    expect(messages[0]?.text).toContain('running');
  });

  test('that a crash kept from being remembered is found after the restart', async () => {
    const memory = fakeSentMessages();
    let crash = true;
    const { publish, deliver, restart, messages } = world({
      ...memory,
      markSent: (key, sent) => {
        if (crash) return Promise.reject(new Error('killed'));
        return memory.markSent(key, sent);
      },
    });
    await publish(events.queued);
    await expect(deliver(KEY)).rejects.toThrow('killed');
    crash = false;
    expect(await restart()(KEY)).toBe('delivered');
    expect(messages).toHaveLength(1);
    expect((await memory.read(KEY))?.sent?.ts).toBe(messages[0]?.ts);
  });

  test('that never arrived is posted', async () => {
    const { publish, deliver, next, messages, calls } = world();
    await publish(events.queued);
    next.push(AWAY);
    await deliver(KEY);
    await deliver(KEY);
    expect(calls).toEqual(['post', 'history', 'history', 'post']);
    expect(messages).toHaveLength(1);
  });

  test('is not taken for a message of another backup', async () => {
    const { publish, deliver, next, messages } = world();
    await publish({ ...events.queued, operation: 'backup-other' });
    await deliver('backup-other');
    await publish(events.queued);
    next.push(AWAY);
    await deliver(KEY);
    await deliver(KEY);
    expect(messages.map((m) => m.metadata.event_payload.key)).toEqual(['backup-other', KEY]);
  });

  test('in a channel that can not be read is posted: rather twice than never', async () => {
    const { publish, deliver, next, messages } = world();
    await publish(events.queued);
    next.push(AWAY, refused('not_in_channel'), refused('missing_scope'));
    await deliver(KEY);
    expect(await deliver(KEY)).toBe('delivered');
    expect(messages).toHaveLength(1);
  });
});

describe('final refusals', () => {
  test.each(['channel_not_found', 'not_in_channel', 'is_archived'])(
    '%s where it was asked for: the results channel gets it, and who asked is told there',
    async (error) => {
      const { publish, deliver, next, messages, sentMessages } = world();
      await publish(events.queued);
      next.push(refused(error));
      expect(await deliver(KEY)).toBe('delivered');
      expect(messages[0]?.channel).toBe('CRESULTS');
      expect(messages[0]?.text).toContain("<@U0ADA00001>: I can't post in <#C0GENERAL3>");
      expect((await sentMessages.read(KEY))?.sent?.channel).toBe('CRESULTS');
      await publish(events.stored);
      await deliver(KEY);
      expect(messages).toHaveLength(1);
      expect(messages[0]?.text).toContain('✅');
    },
  );

  test('in the results channel too: it is given up loudly, and the queue goes on', async () => {
    const loud: string[] = [];
    const { publish, deliver, next } = world(undefined, { ...silentLog, error: (_, m) => loud.push(m) });
    await publish(events.queued);
    next.push(refused('not_in_channel'), refused('channel_not_found'));
    expect(await deliver(KEY)).toBe('delivered');
    expect(loud).toHaveLength(1);
  });

  test.each(['message_not_found', 'cant_update_message', 'edit_window_closed'])(
    '%s on an edit: it is posted anew',
    async (error) => {
      const { publish, deliver, next, messages, sentMessages } = world();
      await publish(events.queued);
      await deliver(KEY);
      await publish(events.stored);
      next.push(refused(error));
      expect(await deliver(KEY)).toBe('delivered');
      expect(messages).toHaveLength(2);
      expect((await sentMessages.read(KEY))?.sent?.ts).toBe(messages[1]?.ts);
    },
  );

  test.each(['invalid_blocks', 'msg_blocks_too_long'])('%s: the text alone says it all', async (error) => {
    const { publish, deliver, next, messages } = world();
    await publish(events.stored);
    next.push(refused(error));
    expect(await deliver(KEY)).toBe('delivered');
    expect(messages[0]?.blocks).toEqual([]);
    expect(messages[0]?.text).toContain('✅ *prod-eu*');
  });
});

describe('messages of a restore', () => {
  const id = requests.pending.id;
  const own = restoreKeys.end(id, requests.pending.requester.id);

  test('stand in the thread of its own message, which is delivered first when it was not', async () => {
    const { publish, deliver, messages } = world();
    await publishAll(publish, ...lives.undone);
    expect(await deliver(restoreKeys.steps(id))).toBe('delivered');
    expect(messages.map((m) => [m.metadata.event_payload.key, m.channel, m.thread_ts])).toEqual([
      [id, ASKED_IN, undefined],
      [restoreKeys.steps(id), ASKED_IN, messages[0]?.ts],
    ]);
    await deliver(restoreKeys.end(id, undefined));
    expect(messages[2]?.thread_ts).toBe(messages[0]?.ts);
  });

  test('follow it to the results channel, when it had to go there', async () => {
    const { publish, deliver, messages, next } = world();
    await publishAll(publish, ...lives.undone);
    next.push(refused('not_in_channel'));
    await deliver(restoreKeys.steps(id));
    expect(messages.map((m) => m.channel)).toEqual(['CRESULTS', 'CRESULTS']);
  });

  test('stand by themselves when the thread is gone', async () => {
    const { publish, deliver, messages, next } = world();
    await publishAll(publish, ...lives.undone);
    await deliver(id);
    next.push(refused('thread_not_found'));
    expect(await deliver(restoreKeys.steps(id))).toBe('delivered');
    expect(messages[1]).toMatchObject({ channel: ASKED_IN });
    expect(messages[1]?.thread_ts).toBeUndefined();
  });

  test('wait with it while Slack is away', async () => {
    const { publish, deliver, messages, next } = world();
    await publishAll(publish, ...lives.undone);
    next.push(AWAY);
    expect(await deliver(restoreKeys.steps(id))).toEqual({ pauseMs: 1000 });
    expect(messages).toEqual([]);
    expect(await deliver(restoreKeys.steps(id))).toBe('delivered');
    expect(messages).toHaveLength(2);
  });

  test('whose post in the thread lost its answer is found there', async () => {
    const { publish, deliver, messages, next, calls } = world();
    await publishAll(publish, ...lives.undone);
    await deliver(id);
    next.push('lost answer');
    await deliver(restoreKeys.steps(id));
    expect(await deliver(restoreKeys.steps(id))).toBe('delivered');
    expect(calls).toEqual(['post', 'post', 'replies', 'update']);
    expect(messages).toHaveLength(2);
  });

  test('to one person go to that person alone, once, also after a lost answer', async () => {
    const { publish, deliver, messages, next, calls } = world();
    await publishAll(publish, ...lives.denied);
    next.push('lost answer');
    await deliver(own);
    expect(await deliver(own)).toBe('delivered');
    expect(calls).toEqual(['post', 'open', 'history', 'update']);
    expect(messages.map((m) => m.channel)).toEqual([requests.pending.requester.id.replace(/^U/, 'D')]);
  });

  test('to one person who can not be written to go nowhere else', async () => {
    const { publish, deliver, messages, next } = world();
    await publishAll(publish, ...lives.denied);
    next.push(refused('user_not_found'));
    expect(await deliver(own)).toBe('delivered');
    expect(messages).toEqual([]);
  });

  test('asked for in private stand where approvers see them', async () => {
    const { publish, deliver, messages } = world();
    await publish(changed(opened({ origin: { channel: 'D0ASKER', user: requester.id } })));
    await deliver(id);
    expect(messages[0]?.channel).toBe('CRESULTS');
  });

  test('with break-glass ring in the alerts channel', async () => {
    const { publish, deliver, messages } = world();
    await publishAll(publish, ...lives['break-glass, with codes']);
    await deliver(restoreKeys.breakGlass(id));
    expect(messages.map((m) => m.channel)).toEqual(['CALERTS']);
  });
});
