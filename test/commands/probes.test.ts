/** What `keyturn check` says of nodes: what each is ready for, and when that is a failure. */
import { describe, expect, test } from 'vitest';
import { nodeProbes } from '../../src/commands/probes.ts';
import type { Found } from '../../src/commands/check-connections.ts';
import { KeyturnError } from '../../src/domain/error.ts';
import type { RoleHolders } from '../../src/domain/permission.ts';
import type { NodeConnection, NodeSteps } from '../../src/ports.ts';
import { spec } from '../chat/samples.ts';
import { fakeEtcd } from '../fakes/etcd-client.ts';
import { nodeSpec } from '../support/specs.ts';
import { refusalOf } from '../support/restore-world.ts';

const denied = new KeyturnError('node.sudo-denied', 'sudo did not let keyturn run sh.', { hint: 'Add this line: …' });
const NOBODY: RoleHolders = { request: [], approve: [], operate: [] };
const RESTORING: RoleHolders = { request: ['U1'], approve: ['S1'], operate: [] };

/** One node; `steps` and `etcd` fail with these. */
function probe(people: RoleHolders, { steps, etcd }: { steps?: KeyturnError; etcd?: KeyturnError } = {}) {
  let open = 0;
  const connection = { close: async () => void (open -= 1) } as unknown as NodeConnection;
  const ask: NodeSteps['ask'] = async () => {
    if (steps !== undefined) throw steps;
    return { code: 0, signal: undefined, stdout: Buffer.alloc(0), stderr: '' };
  };
  const deps = {
    people,
    etcd: fakeEtcd(etcd === undefined ? {} : { statusError: etcd }),
    shell: {
      connect: async () => {
        open += 1;
        return connection;
      },
    },
    steps: { on: () => ({ ask }) as unknown as NodeSteps },
  };
  const [found] = nodeProbes(deps, { ...spec('prod-eu'), nodes: [nodeSpec('cp1')] });
  if (found === undefined) throw new Error('no probe');
  return {
    name: found.name,
    run: async (): Promise<Found> => (await found.run(new AbortController().signal)) as Found,
    left: () => open + deps.etcd.openSessions,
  };
}

describe('a node', () => {
  test('that lets Keyturn read and run steps is ready for both; no login is left', async () => {
    const { name, run, left } = probe(RESTORING);
    expect(name).toBe('node prod-eu/cp1');
    expect(await run()).toEqual({
      found: 'logged in as keyturn at 192.0.2.1, ready for backups and restores',
      warning: undefined,
    });
    expect(left()).toBe(0);
  });

  test('without the right to run steps is ready for backups only: a warning where nobody may ask for restores', async () => {
    const { run, left } = probe(NOBODY, { steps: denied });
    expect(await run()).toEqual({
      found: 'logged in as keyturn at 192.0.2.1, ready for backups only',
      warning: 'sudo did not let keyturn run sh. Add this line: …',
    });
    expect(left()).toBe(0);
  });

  test('without that right fails where restores can be asked for and approved', async () => {
    expect(await refusalOf(probe(RESTORING, { steps: denied }).run())).toBe(denied);
  });

  test('that does not let Keyturn read etcd’s files fails', async () => {
    expect(await refusalOf(probe(NOBODY, { etcd: denied }).run())).toBe(denied);
  });

  test('whose etcd is down is ready all the same: that is another line’s to say', async () => {
    const down = new KeyturnError('etcd.unreachable', 'Nothing answers.', { hint: 'Look at its logs.' });
    expect((await probe(RESTORING, { etcd: down }).run()).found).toContain('ready for backups and restores');
  });

  test('that can not be reached fails with why', async () => {
    const away = new KeyturnError('ssh.lost', 'cp1 is gone.', { hint: 'Look at the network.' });
    expect(await refusalOf(probe(RESTORING, { steps: away }).run())).toBe(away);
  });
});
