/** HTTP mode: Slack posts to the bot, signed, and the bot needs no connection of its own to it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startWorld } from '../support/bot.ts';
import { freePort } from '../support/free-port.ts';

test('a backup that is typed in HTTP mode is stored and verified; a request that Slack did not sign is refused', async () => {
  const port = await freePort();
  const requestUrl = `http://127.0.0.1:${port}/slack/events`;
  const world = await startWorld({ workspace: { mode: 'http', requestUrl } });
  onTestFinished(() => world.close());
  const { apiUrl, tokens, ids } = world.workspace;
  const secret = async (name: string, value: string): Promise<{ file: string }> => {
    await writeFile(join(world.dir, name), value);
    return { file: join(world.dir, name) };
  };
  await world.startBot({
    more: {
      slack: {
        mode: 'http',
        port,
        apiUrl,
        channels: { results: ids.channels['etcd-backups'] },
        botToken: await secret('bot-token', tokens.bot),
        signingSecret: await secret('signing-secret', tokens.signingSecret),
      },
    },
  });
  expect(world.workspace.connections()).toBe(0);

  await world.workspace.runCommand('ada', 'etcd-backups', '/etcd backup newer');
  const done = await world.workspace.waitForMessage('etcd-backups', ({ text }) => text.includes('verified'), 30_000);
  const id = /\d{8}T\d{6}Z-\d+/.exec(JSON.stringify(done.blocks))?.[0] ?? '';
  expect((await world.store.stat(`newer/${id}.db.zst`))?.size).toBeGreaterThan(1_000);

  const forged = new URLSearchParams({ command: '/etcd', text: 'backup newer', user_id: ids.users['ada'] ?? '' });
  const headers = { 'x-slack-signature': 'v0=00', 'x-slack-request-timestamp': String(Math.floor(Date.now() / 1000)) };
  const refused = await fetch(requestUrl, { method: 'POST', body: forged, headers });
  expect(refused.status).toBe(401);
});
