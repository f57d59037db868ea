import { describe, expect, test } from 'vitest';
import { pickMember, type ClusterStatus, type MemberStatus } from '../../src/domain/cluster.ts';

function member(name: string, change: Partial<MemberStatus> = {}): MemberStatus {
  return {
    id: BigInt(name.length),
    name,
    node: name,
    peerUrls: [],
    clientUrls: [],
    isLearner: false,
    isLeader: false,
    problem: undefined,
    version: '3.5.16',
    dbSize: 1,
    dbSizeInUse: 1,
    quota: 1,
    revision: 1n,
    raftTerm: 1n,
    raftIndex: 100n,
    raftAppliedIndex: 100n,
    alarms: [],
    ...change,
  };
}

function status(...members: MemberStatus[]): ClusterStatus {
  return { clusterId: 1n, leader: 1n, members };
}

const down = { code: 'etcd.unreachable', message: 'down', hint: 'start it' };

describe('the member that is read', () => {
  test('is a follower where there is one', () => {
    expect(pickMember(status(member('a', { isLeader: true }), member('b')))?.name).toBe('b');
  });
  test('is the leader when nobody else is fit', () => {
    expect(pickMember(status(member('a', { isLeader: true }), member('b', { problem: down })))?.name).toBe('a');
  });
  test('is never a learner', () => {
    expect(pickMember(status(member('a', { isLearner: true })))).toBeUndefined();
  });
  test('is never one that is far behind', () => {
    const far = member('b', { raftIndex: 9_000n, raftAppliedIndex: 9_000n });
    const leader = member('a', { isLeader: true, raftIndex: 20_000n, raftAppliedIndex: 20_000n });
    expect(pickMember(status(leader, far))?.name).toBe('a');
  });
  test('is the follower that is least behind', () => {
    const behind = member('b', { raftAppliedIndex: 90n });
    expect(pickMember(status(behind, member('c')))?.name).toBe('c');
  });
  test('is nobody when nobody answers', () => {
    expect(pickMember(status(member('a', { problem: down })))).toBeUndefined();
  });
});
