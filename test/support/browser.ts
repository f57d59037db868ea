/** Owns the browser of tests: a real one, each page opened as one of the workspace's people. */
import { chromium, type Browser, type Page } from 'playwright-core';
import type { World } from './bot.ts';

const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launchBrowser({ env }: World): Promise<Browser> {
  return chromium.launch({ executablePath: env.chromium, args: QUIET });
}

/** The workspace's page, as the person of this handle. */
export async function openAs(browser: Browser, { workspace }: World, handle: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  await page.goto(`${workspace.url}/?as=${workspace.ids.users[handle] ?? ''}`);
  return page;
}

/** Types into the channel that is open first. */
export async function type(page: Page, text: string): Promise<void> {
  const composer = page.getByLabel('Message #etcd-backups');
  await composer.fill(text);
  await composer.press('Enter');
}
