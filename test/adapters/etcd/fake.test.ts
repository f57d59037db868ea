import { describe } from 'vitest';
import { KeyturnError } from '../../../src/domain/error.ts';
import { etcdClientContract } from '../../contracts/etcd-client.ts';
import { fakeEtcd } from '../../fakes/etcd-client.ts';
import { clusterSpec, nodeSpec } from '../../support/specs.ts';

describe('the fake etcd', () => {
  etcdClientContract(async () => {
    const cluster = clusterSpec(['cp1', 'cp2', 'cp3'].map((name) => nodeSpec(name)));
    const openError = new KeyturnError('ssh.unreachable', 'cp1 is away.', { hint: 'Plug it in.' });
    return { client: fakeEtcd(), cluster, unreachable: { client: fakeEtcd({ openError }), cluster } };
  });
});
