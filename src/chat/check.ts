/** Owns what `keyturn check` asks of Slack: do the tokens work, and is the bot where it has to post? */
import type { WebClient } from '@slack/web-api';
import { KeyturnError } from '../domain/error.ts';
import { slackClient, type ChatOptions } from './app.ts';
import { refusalOf } from './slack-error.ts';

type Options = Pick<ChatOptions, 'transport' | 'botToken' | 'apiUrl' | 'channels' | 'log'>;

/** One line on who the bot is. Throws slack.refused, or what keeps Slack from answering. */
export async function checkSlack(options: Options): Promise<string> {
  const slack = slackClient(options, 0);
  const who = await ask('the bot token', () => slack.auth.test());
  if (options.transport.mode === 'socket') await checkAppToken(options, options.transport.appToken);
  for (const channel of new Set(Object.values(options.channels))) await checkChannel(slack, channel);
  return `${who.user ?? 'the bot'} in workspace ${who.team ?? '?'}, ${options.transport.mode} mode`;
}

/** Opens no connection: Slack hands out the address of one, which is not used. */
async function checkAppToken(options: Options, appToken: string): Promise<void> {
  const slack = slackClient({ ...options, botToken: appToken }, 0);
  await ask('the app token', () => slack.apps.connections.open());
}

async function checkChannel(slack: WebClient, channel: string): Promise<void> {
  const info = await ask(`channel ${channel}`, () => slack.conversations.info({ channel }));
  if (info.channel?.is_member === true) return;
  throw new KeyturnError('slack.refused', `The bot is not a member of channel ${channel}.`, {
    hint: 'Invite it there: /invite @keyturn.',
  });
}

async function ask<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const refusal = refusalOf(error);
    const why = refusal === undefined ? 'no answer' : 'reason' in refusal ? refusal.reason : 'too many calls';
    throw new KeyturnError('slack.refused', `Slack did not take ${what}: ${why}.`, {
      hint: 'Compare token and scopes with deploy/slack-manifest.yaml, and look at the network.',
      cause: error,
    });
  }
}
