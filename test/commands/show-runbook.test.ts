/** Plans to read: of a request, and of no request at all. */
import { describe, expect, test } from 'vitest';
import { planDigest } from '../../src/domain/plan.ts';
import { catalogueOf, record, stored } from '../chat/samples.ts';
import { alice, request, requester, somebody } from '../support/requests.ts';
import { refusalOf, restoreWorld, wish } from '../support/restore-world.ts';

const guest = somebody('U0GUEST', { isGuest: true });
const unverified = stored({ id: '20261121T063000Z-18', takenAt: '2026-11-21T06:30:00.000Z', checks: [] });

describe('a runbook', () => {
  test('is the plan of the newest verified snapshot, and makes no request', async () => {
    const world = restoreWorld({ catalogue: catalogueOf([unverified, stored()]) });
    const { snapshot, text } = await world.commands.showRunbook(alice, 'prod-eu', undefined);
    expect(snapshot.id).toBe('20261121T060000Z-17');
    expect(text).toMatch(/^# Restore of `prod-eu` from `20261121T060000Z-17`\n/);
    expect(text).toContain('request `runbook`');
    expect(await world.requests.open()).toEqual([]);
    expect(world.facts).toEqual([]);
    expect(world.etcd.openSessions).toBe(0);
  });

  test.each([
    ['compressed', 'zstd', [], '.db.zst', 'zstd -d -c 20261121T060000Z-17.db.zst > snapshot.db'],
    ['encrypted', 'none', ['age1one'], '.db.age', 'age -d -i IDENTITY_FILE 20261121T060000Z-17.db.age > snapshot.db'],
    [
      'both',
      'zstd',
      ['age1one'],
      '.db.zst.age',
      'age -d -i IDENTITY_FILE 20261121T060000Z-17.db.zst.age | zstd -d > snapshot.db',
    ],
    [
      'both, with a passphrase',
      'zstd',
      ['passphrase'],
      '.db.zst.age',
      'age -d 20261121T060000Z-17.db.zst.age | zstd -d > snapshot.db',
    ],
  ] as const)(
    'of a snapshot that is %s says how to make it by hand',
    async (_, compression, recipients, suffix, line) => {
      const encoding = { compression, encryption: recipients.length === 0 ? 'none' : 'age', recipients } as const;
      const object = { ...record().object, key: `prod-eu/20261121T060000Z-17${suffix}`, size: 99 };
      const world = restoreWorld({ catalogue: catalogueOf([stored({ encoding, object })]) });
      const { text } = await world.commands.showRunbook(alice, 'prod-eu', undefined);
      expect(text).toContain(`\`\`\`sh\n${line}\n\`\`\``);
      expect(text).toContain('99 bytes');
      for (const recipient of recipients.filter((each) => each.startsWith('age1'))) expect(text).toContain(recipient);
    },
  );

  test('of a snapshot that is named is of that one', async () => {
    const world = restoreWorld({ catalogue: catalogueOf([unverified, stored()]) });
    const { snapshot } = await world.commands.showRunbook(alice, 'prod-eu', '20261121t063000z-18');
    expect(snapshot.id).toBe(unverified.record.id);
  });

  test.each([
    ['a near miss', '20261121T060000Z-1', [stored()], 'Then type: /etcd runbook prod-eu 20261121T060000Z-17'],
    ['nothing near', 'latest', [stored()], 'See what there is: /etcd snapshots prod-eu'],
    ['no snapshot at all', undefined, [], 'Make one: /etcd backup prod-eu'],
  ])('of a snapshot that is not there says what to do: %s', async (_, id, there, hint) => {
    const world = restoreWorld({ catalogue: catalogueOf(there) });
    const error = await refusalOf(world.commands.showRunbook(alice, 'prod-eu', id));
    expect(error.code).toBe('store.not-found');
    expect(error.hint).toContain(hint);
  });

  test('asked for by many at once is made once', async () => {
    const world = restoreWorld();
    let opened = 0;
    const open = world.etcd.open.bind(world.etcd);
    const counted = restoreWorld({
      etcd: {
        open: (spec, signal) => {
          opened += 1;
          return open(spec, signal);
        },
      },
    });
    await Promise.all([1, 2, 3].map(() => counted.commands.showRunbook(alice, 'prod-eu', undefined)));
    expect(opened).toBe(1);
  });

  test('is for members of the workspace', async () => {
    const { commands } = restoreWorld();
    expect((await refusalOf(commands.showRunbook(guest, 'prod-eu', undefined))).code).toBe('permission.denied');
    expect((await refusalOf(commands.showPlan(guest, 'r1'))).code).toBe('permission.denied');
  });
});

describe("a request's own plan", () => {
  test('is shown as it was kept, not made again', async () => {
    const world = restoreWorld();
    const answer = await world.commands.requestRestore(requester, wish());
    const { id, digest, plan } = answer.request ?? request();
    world.etcd.set({ members: [] });
    const shown = await world.commands.showPlan(alice, id);
    expect(shown.request.id).toBe(id);
    expect(shown.text).toContain(digest);
    expect(planDigest(plan)).toBe(digest);
  });

  test('of an id that nobody knows: the likeliest, or the newest ones', async () => {
    const world = restoreWorld();
    const nobody = await refusalOf(world.commands.showPlan(alice, 'r1'));
    expect(nobody).toMatchObject({ code: 'request.unknown', hint: expect.stringContaining('/etcd restore') as string });
    const { request: made } = await world.commands.requestRestore(requester, wish());
    const near = await refusalOf(world.commands.showPlan(alice, 'r20261121-063000-3fa9c7'));
    expect(near.hint).toBe(`Did you mean ${made?.id ?? ''}?`);
    const far = await refusalOf(world.commands.showPlan(alice, 'xyzzy'));
    expect(far.hint).toContain(`${made?.id ?? ''} (prod-eu)`);
  });
});
