/** A byte that flips in one of the two stores of a whole bot: verify says so, the alerts channel rings, and the copy is made anew. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { damageKey } from '../../src/domain/snapshot.ts';
import { startWorld, type World } from '../support/bot.ts';
import { localCluster } from '../support/local-env.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld();
  await world.startBot({ more: { scrub: { enabled: false } } });
});

afterAll(async () => world.close());

const told = (channel: string, ...words: readonly string[]) =>
  world.workspace.waitForMessage(channel, (message) => words.every((word) => message.text.includes(word)), 60_000);

test('verify reads what a backup has stored; a copy in which a byte flipped is called out, and made anew from the other store', async () => {
  const { name } = localCluster(world.env, '3.5');
  const type = (text: string) => world.workspace.runCommand('ada', 'etcd-backups', `/etcd ${text}`);
  await type(`backup ${name}`);
  await told('etcd-backups', name, 'verified');
  const keys: string[] = [];
  for await (const { key } of world.store.list(`${name}/`)) keys.push(key);
  const object = keys.find((key) => /\.db(\.zst)?$/.test(key)) ?? '';
  const id = object.replace(/^.*\/|\.db(\.zst)?$/g, '');

  await type(`verify ${id}`);
  await told('etcd-backups', id, '2 of 2 copies whole');

  const good = Buffer.from(await world.store.get(object));
  const body = Buffer.from(good);
  body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1;
  await world.store.put(object, body);
  await type(`verify ${name} ${id}`);
  await told('etcd-backups', id, '1 of 2 copies whole', 'the sha256 differs');
  await told('etcd-alerts', id, 'a stored copy was damaged', 'Made anew', 'from the copy in `offsite`');
  expect(await world.store.stat(damageKey(name, id))).toBe(undefined);
  expect(Buffer.from(await world.store.get(object)).equals(good)).toBe(true);
});
