/** The app's manifest asks for exactly what the code uses, and offers exactly what help tells. */
import { readFileSync, readdirSync } from 'node:fs';
import { parse } from 'yaml';
import { expect, test } from 'vitest';
import { COMMAND_WORDS, usage } from '../../src/commands/parse.ts';

interface Manifest {
  display_information: { name: string; description: string };
  features: { slash_commands: { command: string; description: string; usage_hint: string }[] };
  oauth_config: { scopes: { bot: string[] } };
  settings: {
    socket_mode_enabled: boolean;
    interactivity: { is_enabled: boolean };
    event_subscriptions: { bot_events: string[] };
  };
}

const text = readFileSync('deploy/slack-manifest.yaml', 'utf8');
const manifest = parse(text) as Manifest;
const source = readdirSync('src/chat', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(`src/chat/${file}`, 'utf8'))
  .join('\n');

/** What each method needs of a bot token, from its page at docs.slack.dev. */
const SCOPES: Readonly<Record<string, readonly string[]>> = {
  'auth.test': [],
  'apps.connections.open': [], // the app-level token's own
  'views.publish': [],
  'views.open': [],
  'views.update': [],
  'files.uploadV2': ['files:write'],
  'conversations.open': ['im:write'],
  'conversations.replies': ['channels:history', 'groups:history', 'im:history'],
  'chat.postMessage': ['chat:write', 'chat:write.public'],
  'chat.update': ['chat:write'],
  'conversations.history': ['channels:history', 'groups:history', 'im:history'],
  'conversations.info': ['channels:read', 'groups:read'],
  'users.info': ['users:read'],
  'usergroups.users.list': ['usergroups:read'],
};

/** Every call of the Web API in the code: `slack.users.info(`. */
function methodsUsed(): string[] {
  const calls = source.matchAll(
    /\bslack\.((?:auth|apps|views|chat|conversations|users|usergroups|reactions|files|pins|bookmarks)(?:\.\w+)+)\(/g,
  );
  return [...new Set([...calls].map((call) => call[1] ?? ''))].sort();
}

test('every method used is known here with its scopes', () => {
  expect(methodsUsed().length).toBeGreaterThan(6);
  expect(methodsUsed().filter((method) => !(method in SCOPES))).toEqual([]);
});

test('the scopes are those that the methods need and the slash command, no more', () => {
  const needed = new Set(['commands', ...methodsUsed().flatMap((method) => SCOPES[method] ?? [])]);
  expect([...manifest.oauth_config.scopes.bot].sort()).toEqual([...needed].sort());
});

test('every scope and event says why it is there', () => {
  for (const name of [...manifest.oauth_config.scopes.bot, ...manifest.settings.event_subscriptions.bot_events]) {
    const lines = text.split('\n');
    const at = lines.findIndex((line) => line.trim() === `- ${name}`);
    const above = lines.slice(0, at).findLast((line) => !line.trim().startsWith('- '));
    expect(above?.trim(), name).toMatch(/^# /);
  }
});

test('every event that is listened to is subscribed to', () => {
  const events = [...source.matchAll(/app\.event\('(\w+)'/g)].map((m) => m[1]);
  expect(manifest.settings.event_subscriptions.bot_events).toEqual(events);
});

test('the usage hint has every command, as help shows it', () => {
  const [command] = manifest.features.slash_commands;
  const offered = COMMAND_WORDS.map((word) => usage(word, '').trim());
  expect(command?.usage_hint).toBe(offered.join(' | '));
});

test('Socket Mode and buttons are on, and names are within Slack’s limits', () => {
  expect(manifest.settings).toMatchObject({ socket_mode_enabled: true, interactivity: { is_enabled: true } });
  expect(manifest.display_information.name.length).toBeLessThanOrEqual(35);
  expect(manifest.display_information.description.length).toBeLessThanOrEqual(140);
  for (const { description, usage_hint } of manifest.features.slash_commands) {
    expect(description.length).toBeLessThanOrEqual(2000);
    expect(usage_hint.length).toBeLessThanOrEqual(1000);
  }
});
