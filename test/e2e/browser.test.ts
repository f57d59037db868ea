/** What a person does: opens the page, types the command, watches one message become "verified". */
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startWorld, type World } from '../support/bot.ts';

let world: World;
let browser: Browser;

beforeAll(async () => {
  world = await startWorld();
  await world.startBot();
  browser = await chromium.launch({
    executablePath: world.env.chromium,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
});

afterAll(async () => {
  await browser.close();
  await world.close();
});

async function openAs(user: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  const id = world.workspace.ids.users[user] ?? '';
  await page.goto(`${world.workspace.url}/?as=${id}`);
  return page;
}

async function type(page: Page, text: string): Promise<void> {
  const composer = page.getByLabel('Message #etcd-backups');
  await composer.fill(text);
  await composer.press('Enter');
}

test('a backup typed in the page is one message that ends as verified, and the object is in the store', async () => {
  const page = await openAs('ada');
  await type(page, '/etcd backup newer');
  const message = page.getByRole('article').filter({ hasText: 'asked by' }).filter({ hasText: 'verified' });
  await message.waitFor({ timeout: 30_000 });
  const text = await message.innerText();
  expect(text).toContain('newer');
  const id = /\d{8}T\d{6}Z-\d+/.exec(text)?.[0] ?? '';
  expect((await world.store.stat(`newer/${id}.db`))?.size).toBeGreaterThan(20_000);

  await type(page, '/etcd snapshots newer');
  await page.getByRole('article').filter({ hasText: 'sha256' }).filter({ hasText: id }).waitFor();
});

test('somebody without the right is told so, and nobody else sees it', async () => {
  const page = await openAs('noor');
  await type(page, '/etcd backup newer');
  await page.getByText('You may not use').waitFor();
  const other = await openAs('grace');
  await other.getByLabel('Message #etcd-backups').waitFor();
  expect(await other.getByText('You may not use').count()).toBe(0);
});

test('a mistyped command is answered with the right one', async () => {
  const page = await openAs('linus');
  await type(page, '/etcd snapshot newer');
  await page.getByText('Did you mean: /etcd snapshots newer').waitFor();
});
