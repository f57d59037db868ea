import { expect, test } from 'vitest';
import { renderMissingSecret, secretRefs } from '../../src/config/secrets.ts';
import type { Config } from '../../src/config.ts';

const config = {
  slack: { botToken: { env: 'BOT' }, appToken: { env: 'APP' }, signingSecret: undefined },
  redis: { password: { file: '/run/redis' } },
  stores: [
    { name: 'nas', type: 'folder' },
    { name: 'ceph', type: 's3', credentials: { accessKeyId: { env: 'ID' }, secretAccessKey: { file: '/run/s3' } } },
    { name: 'aws', type: 's3', credentials: undefined },
  ],
  audit: { folder: '/audit', store: 'ceph' },
  stepUpKey: { file: '/run/step-up' },
} as unknown as Config;

test('every secret that is referred to is named, with the place that does', () => {
  expect(secretRefs(config, 'all').map(renderMissingSecret)).toEqual([
    'slack.botToken: found no environment variable BOT; expected the secret in it',
    'slack.appToken: found no environment variable APP; expected the secret in it',
    'redis.password: found nothing readable in /run/redis; expected the secret in it',
    'stores.ceph.accessKeyId: found no environment variable ID; expected the secret in it',
    'stores.ceph.secretAccessKey: found nothing readable in /run/s3; expected the secret in it',
    'stepUp.key: found nothing readable in /run/step-up; expected the secret in it',
  ]);
});

test('a worker needs the token with which Slack is asked, and none by which it is heard', () => {
  const paths = secretRefs(config, 'worker').map(({ path }) => path);
  expect(paths).toContain('slack.botToken');
  expect(paths).not.toContain('slack.appToken');
  expect(paths).not.toContain('slack.signingSecret');
  expect(paths).not.toContain('stepUp.key');
});

test('whoever proves the audit needs its store and nothing else', () => {
  const pathsOf = (store: string) =>
    secretRefs({ ...config, audit: { folder: '/audit', store } }, 'audit').map(({ path }) => path);
  expect(pathsOf('ceph')).toEqual(['stores.ceph.accessKeyId', 'stores.ceph.secretAccessKey']);
  expect(pathsOf('nas')).toEqual([]);
});
