/** What is removed of an ended restore: the scripts run for real, in a directory of their own. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Plan } from '../../src/domain/plan.ts';
import { cleanupScript, forgetStepsScript, whyKept } from '../../src/domain/restore/cleanup.ts';
import { makeRestorePlan } from '../../src/domain/restore-plan.ts';
import type { RequestState, RestoreRequest } from '../../src/domain/restore-request.ts';
import { request } from '../support/requests.ts';
import { nodeFacts, pod, restoreInput } from './restore-facts.ts';

let root: string;

beforeEach(() => {
  // A name that a careless script would take apart.
  root = mkdtempSync(join(tmpdir(), "keyturn $(x) 'q' "));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(...paths: readonly string[]): void {
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), 'x');
  }
}

/** One node whose data lie in `<root>/etcd`, and whose manifests in `<root>/manifests`. */
function planOf(change: { readonly isMountPoint?: boolean } = {}): Plan {
  const directory = { uid: 0, gid: 0, isMountPoint: false, mountsInside: [], freeBytes: 1e12 };
  const facts = nodeFacts(1);
  const kubernetes = { supervisor: { ...pod('etcd'), manifest: join(root, 'manifests/etcd.yaml') } as const };
  return makeRestorePlan(
    restoreInput({
      nodes: [
        nodeFacts(1, {
          etcd: { ...facts.etcd, ...kubernetes },
          apiServer: undefined,
          dataDir: { ...directory, path: join(root, 'etcd'), ...change },
          walDir: { ...directory, path: join(root, 'wal') },
        }),
      ],
    }),
  );
}

function run(text: string | undefined) {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', text ?? 'exit 9'], { encoding: 'utf8', timeout: 20_000 });
  return { code: status, removed: stdout.split('\n').filter(Boolean), err: stderr };
}

describe('the clean-up of a node', () => {
  test('removes old data and every leftover of the restore, and nothing else', () => {
    put(
      'etcd/member/snap/db',
      'wal/0.wal',
      'etcd.keyturn-r1/member/db',
      'etcd.keyturn-r1.new/member/db',
      'etcd.keyturn-r1.new.part/half',
      'etcd.keyturn-r1.db.part.123',
      'wal.keyturn-r1/0.wal',
      'etcd.keyturn-r2/member/db',
      'etcd.keyturn-r10/member/db',
      'manifests/etcd.yaml',
    );
    put('etcd.keyturn-r1.db', 'etcd.keyturn-r1.tool');
    mkdirSync(join(root, 'keyturn-r1'));
    const { code, removed, err } = run(cleanupScript(planOf(), 'cp1'));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(readdirSync(root).sort()).toEqual(['etcd', 'etcd.keyturn-r10', 'etcd.keyturn-r2', 'manifests', 'wal']);
    expect(removed.map((path) => path.slice(root.length + 1)).sort()).toEqual([
      'etcd.keyturn-r1',
      'etcd.keyturn-r1.db',
      'etcd.keyturn-r1.db.part.123',
      'etcd.keyturn-r1.new',
      'etcd.keyturn-r1.new.part',
      'etcd.keyturn-r1.tool',
      'keyturn-r1',
      'wal.keyturn-r1',
    ]);
    expect(existsSync(join(root, 'etcd/member/snap/db'))).toBe(true);
  });

  test('removes what lies inside a mount point', () => {
    put('etcd/member/db', 'etcd/keyturn-r1/member/db', 'etcd/keyturn-r1.new/x', 'etcd/keyturn-r1.back/x');
    const { removed } = run(cleanupScript(planOf({ isMountPoint: true }), 'cp1'));
    expect(removed).toHaveLength(3);
    expect(readdirSync(join(root, 'etcd'))).toEqual(['member']);
  });

  test('is safe twice', () => {
    put('etcd/member/db', 'etcd.keyturn-r1/member/db');
    const text = cleanupScript(planOf(), 'cp1');
    run(text);
    expect(run(text)).toEqual({ code: 0, removed: [], err: '' });
  });

  test('leaves manifests that are still set aside', () => {
    put('keyturn-r1/etcd.yaml');
    expect(run(cleanupScript(planOf(), 'cp1')).code).toBe(0);
    expect(existsSync(join(root, 'keyturn-r1/etcd.yaml'))).toBe(true);
  });

  test('removes nothing while a process has a file open in the old data', async () => {
    put('etcd.keyturn-r1/member/db');
    const user = spawn('sh', [
      '-c',
      'exec 9< "$1"; echo up; exec sleep 20',
      'sh',
      join(root, 'etcd.keyturn-r1/member/db'),
    ]);
    try {
      await new Promise((resolve) => user.stdout.once('data', resolve));
      const { code, err } = run(cleanupScript(planOf(), 'cp1'));
      expect(code).toBe(1);
      expect(err).toMatch(/A process has files open in .*: nothing is removed\./);
      expect(existsSync(join(root, 'etcd.keyturn-r1/member/db'))).toBe(true);
    } finally {
      user.kill('SIGKILL');
    }
  });

  test('is nothing on a node that the plan does not touch', () => {
    expect(cleanupScript(planOf(), 'cp9')).toBe(undefined);
  });

  test.each(['/', '/var/lib/etcd', '/var/lib/etcd.keyturn-r2', 'etcd.keyturn-r1', '/x/../etc/keyturn-r1'])(
    'refuses old data that are not named by the request: %s',
    (path) => {
      const plan = planOf();
      const members = plan.members.map((member) => ({ ...member, oldData: [path] }));
      expect(() => cleanupScript({ ...plan, members }, 'cp1')).toThrow(TypeError);
    },
  );

  test('forgets the steps of this restore alone', () => {
    expect(forgetStepsScript('r1')).toBe('set -eu\nrm -rf /var/lib/keyturn/r1\n');
    for (const name of ['', '..', '.fences', 'a/b', 'a b']) expect(() => forgetStepsScript(name)).toThrow(TypeError);
  });
});

describe('what a restore left is kept', () => {
  const one = (id: string, state: RequestState): RestoreRequest => ({ ...request(), id, state });

  test('as long as it has not ended', () => {
    for (const state of ['pending', 'approved', 'running', 'rolling-back'] as const) {
      expect(whyKept(one('r1', state), [one('r2', 'succeeded'), one('r1', state)])).toMatch(/has not ended/);
    }
  });

  test('until a newer restore has succeeded: one that was rolled back or failed is none', () => {
    const r1 = one('r1', 'succeeded');
    expect(whyKept(r1, [r1])).toMatch(/No newer restore/);
    for (const state of ['rolled-back', 'failed', 'running', 'void'] as const) {
      expect(whyKept(r1, [one('r2', state), r1])).toMatch(/No newer restore/);
    }
    expect(whyKept(r1, [one('r2', 'succeeded'), r1])).toBe(undefined);
    expect(whyKept(one('r0', 'failed'), [one('r2', 'failed'), r1, one('r0', 'failed')])).toBe(undefined);
  });

  test('and one that is older than all that are listed is not', () => {
    expect(whyKept(one('r0', 'succeeded'), [one('r2', 'succeeded')])).toBe(undefined);
    expect(whyKept(one('r0', 'succeeded'), [])).toMatch(/No newer restore/);
  });
});
