/** What people do on their worst day, in the page: one asks, the asker's own approval is refused, two others approve, all watch. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { clusterSection, eventually, startWorld, type Bot, type World } from '../support/bot.ts';
import { launchBrowser, openAs as openPage, type } from '../support/browser.ts';
import { control, type Control } from '../support/control.ts';

let world: World;
let parts: Control;
let browser: Browser;
let bot: Bot;

beforeAll(async () => {
  world = await startWorld();
  parts = control(world.env.controlSocket);
  const admins = [world.workspace.ids.groups['etcd-admins'] ?? ''];
  await parts.cluster('newer').etcdctl(['put', '/browser/lost', 'before']);
  bot = await world.startBot({
    clusters: [clusterSection(world.env, 'newer')],
    more: { people: { request: admins, approve: admins, operate: admins } },
  });
  browser = await launchBrowser(world);
});

afterAll(async () => {
  await browser.close();
  await world.close();
});

const openAs = (handle: string): Promise<Page> => openPage(browser, world, handle);
const valueOf = async (key: string): Promise<string> =>
  (await parts.cluster('newer').etcdctl(['get', key, '--print-value-only'])).trim();

test('a restore asked for in the form, approved by two others and carried out brings deleted keys back', async () => {
  onTestFailed(async () => console.log((await bot.log()).split('\n').slice(-12).join('\n')));
  const [ada, grace, linus] = [await openAs('ada'), await openAs('grace'), await openAs('linus')];
  await type(ada, '/etcd backup newer');
  await ada.getByRole('article').filter({ hasText: 'verified' }).waitFor({ timeout: 30_000 });
  await parts.cluster('newer').etcdctl(['del', '/browser/lost']);
  await parts.cluster('newer').etcdctl(['put', '/browser/later', 'after']);

  await type(ada, '/etcd restore newer');
  const form = ada.getByRole('dialog');
  await form.getByLabel('Why').fill('the keys of the shop were deleted <!channel>');
  await form.getByRole('button', { name: 'Make the plan' }).click();
  await form.getByText('waits for 2 approvals').waitFor({ timeout: 60_000 });
  await form.getByRole('button', { name: 'Close' }).last().click();

  const request = (page: Page) => page.getByRole('article').filter({ hasText: 'Restore of newer' }).first();
  expect(await request(grace).innerText()).toContain('the keys of the shop were deleted <!channel>');
  await request(ada).getByRole('button', { name: 'Approve' }).click();
  await ada.getByText('you asked for this restore yourself').waitFor();
  await request(grace).getByRole('button', { name: 'Approve' }).click();
  await grace.getByText('Your approval counts: 1 of 2').waitFor();
  await request(grace).getByRole('button', { name: 'Approve' }).click();
  await grace.getByText('people are counted, not clicks').waitFor();
  await request(linus).getByRole('button', { name: 'Approve' }).click();

  const report = ada.getByRole('article').filter({ hasText: 'newer is restored' });
  await report.waitFor({ timeout: 180_000 });
  const text = await report.innerText();
  for (const part of [
    'downtime',
    'All 3 members started, with the predicted id',
    'Where the old data lie',
    '/etcd audit r',
  ])
    expect(text).toContain(part);
  await parts.cluster('newer').waitHealthy();
  expect([await valueOf('/browser/lost'), await valueOf('/browser/later')]).toEqual(['before', '']);

  const id = /r\d{8}-\d{6}-[0-9a-f]{6}/.exec(text)?.[0] ?? '';
  await type(ada, `/etcd audit ${id}`);
  const audit = ada.getByRole('dialog');
  await audit.getByText('The audit is whole').waitFor();
}, 300_000);

test('the requester and both reviewers have a direct message that says how it ended', async () => {
  for (const handle of ['ada', 'grace', 'linus']) {
    const page = await openAs(handle);
    await page
      .getByRole('button', { name: /^Keyturn/ })
      .first()
      .click();
    await page.getByRole('tab', { name: 'Messages' }).click();
    await eventually(
      `the message to ${handle}`,
      async () => (await page.getByText('restored').count()) > 0 || undefined,
    );
  }
}, 60_000);
