import { describe, expect, test } from 'vitest';
import { etcdClient } from '../../../src/adapters/etcd/client.ts';
import { KeyturnError } from '../../../src/domain/error.ts';
import { fakeClock } from '../../fakes/clock.ts';
import { fakeNodes } from '../../fakes/node-shell.ts';
import { fakeStepRunner } from '../../fakes/step-runner.ts';
import { clusterSpec, nodeSpec } from '../../support/specs.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('a stopped etcd whose manifest only root may see', () => {
  const manifest = JSON.stringify({ spec: { containers: [{ name: 'etcd', command: ['etcd', '--name=m1'] }] } });
  const asRoot = `manifest 1 ${base64('/k/db.yaml')}\ncontent 1 ${base64(manifest)}\nunit - \n`;
  const nodes = fakeNodes({ cp1: { run: () => ({ stdout: 'unit - \n' }) } });
  const cluster = clusterSpec([nodeSpec('cp1')]);

  test('is found by the right to run steps', async () => {
    const steps = fakeStepRunner(fakeClock(), () => ({ output: asRoot }));
    const session = await etcdClient(nodes, { steps }).open(cluster);
    expect(session.found).toMatchObject([
      { pid: undefined, memberName: 'm1', supervisor: { kind: 'static-pod', manifest: '/k/db.yaml' } },
    ]);
    await expect(session.status()).rejects.toMatchObject({ code: 'etcd.unreachable' });
    await session.close();
  });

  test('is not found without that right, and what the login saw is told', async () => {
    const steps = fakeStepRunner(fakeClock(), () => ({ output: asRoot }));
    steps.cut('cp1', new KeyturnError('node.sudo-denied', 'no', { hint: 'none' }));
    const opened = etcdClient(nodes, { steps }).open(cluster);
    await expect(opened).rejects.toMatchObject({ code: 'node.etcd-not-found' });
    expect(nodes.openConnections).toBe(0);
  });
});
