import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  COUNT_ALL_KEYS,
  decode,
  decodeCount,
  decodeHash,
  decodeMemberList,
  decodeStatus,
  hashRequest,
} from '../../../src/adapters/etcd/protobuf.ts';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');
const MAX = 'ffffffffffffffffff01';

test('a status keeps every bit of its ids, and fields that are left out are zero', () => {
  const status = hex(
    `0a18 08${MAX} 10${MAX} 1806 2003 1206332e342e3233 18a08d06 20${MAX} 2803 42036f6f70 42026f68 5001`,
  );
  const decoded = decodeStatus(status);
  expect(decoded).toMatchObject({
    clusterId: 2n ** 64n - 1n,
    memberId: 2n ** 64n - 1n,
    revision: 6n,
    version: '3.4.23',
  });
  expect(decoded).toMatchObject({ dbSize: 100_000, leader: 2n ** 64n - 1n, raftIndex: 3n, errors: ['oop', 'oh'] });
  expect(decoded).toMatchObject({ dbSizeInUse: 0, raftTerm: 0n, raftAppliedIndex: 0n, isLearner: true });
  expect(decodeStatus(new Uint8Array())).toMatchObject({ clusterId: 0n, version: '', errors: [], isLearner: false });
});

test('a member list has all URLs of all members', () => {
  const member = hex('0801 120161 1a0170 1a0171 220163');
  const learner = hex('0802 2801');
  const list = Buffer.concat([hex('1202'), hex('0802'), Buffer.from([0x12, member.length]), member]);
  expect(decodeMemberList(Buffer.concat([list, Buffer.from([0x12, learner.length]), learner]))).toEqual([
    { id: 2n, name: '', peerUrls: [], clientUrls: [], isLearner: false },
    { id: 1n, name: 'a', peerUrls: ['p', 'q'], clientUrls: ['c'], isLearner: false },
    { id: 2n, name: '', peerUrls: [], clientUrls: [], isLearner: true },
  ]);
});

test('keys are counted over the whole key space', () => {
  expect([...decode(COUNT_ALL_KEYS)].map(({ number, int, bytes }) => [number, int, [...bytes]])).toEqual([
    [1, 0n, [0]],
    [2, 0n, [0]],
    [9, 1n, []],
  ]);
  expect(decodeCount(hex('0a02 1809 2005'))).toEqual({ keys: 5n, revision: 9n });
});

test('what is cut or no protobuf is a RangeError, nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }),
    { numRuns: 1000 },
  );
});

test('a hash is asked for at any revision, and is a uint32', () => {
  expect(Buffer.from(hashRequest(1n)).toString('hex')).toBe('0801');
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), (revision) => {
      expect(decode(hashRequest(revision))).toMatchObject([{ number: 1, int: revision }]);
    }),
  );
  expect(decodeHash(hex('0a00 10ffffffff0f 1801'))).toBe(2 ** 32 - 1);
  expect(decodeHash(new Uint8Array())).toBe(0);
});
