/** What a person does: opens the page, types the command, watches one message become "verified". */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startWorld, type World } from '../support/bot.ts';
import { launchBrowser, openAs as openPage, type } from '../support/browser.ts';

let world: World;
let browser: Browser;

beforeAll(async () => {
  world = await startWorld();
  await world.startBot();
  browser = await launchBrowser(world);
});

afterAll(async () => {
  await browser.close();
  await world.close();
});

const openAs = (handle: string): Promise<Page> => openPage(browser, world, handle);

test('a backup typed in the page is one message that ends as verified, and the object is in the store', async () => {
  const page = await openAs('ada');
  await type(page, '/etcd backup newer');
  const message = page.getByRole('article').filter({ hasText: 'asked by' }).filter({ hasText: 'verified' });
  await message.waitFor({ timeout: 30_000 });
  const text = await message.innerText();
  expect(text).toContain('newer');
  const id = /\d{8}T\d{6}Z-\d+/.exec(text)?.[0] ?? '';
  expect((await world.store.stat(`newer/${id}.db.zst`))?.size).toBeGreaterThan(1_000);

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
