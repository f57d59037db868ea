/** Owns what a configuration file may hold, field by field; each field says what it expects. */
import { z } from 'zod';
import { parseDuration, parseSize } from '../domain/units.ts';
import type { CronCalendar } from '../ports.ts';
import type { SecretRef } from './types.ts';

const NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9])?$/;

/** A string that fits `pattern`; anything else is answered with `expected`. */
function text(expected: string, pattern = /\S/): z.ZodString {
  return z.string({ error: expected }).regex(pattern, { error: expected });
}

function checked(expected: string, holds: (value: string) => boolean): z.ZodString {
  return z.string({ error: expected }).refine(holds, { error: expected });
}

function duration(expected = 'a duration such as 90s, 15m, 8h or 2d'): z.ZodType<number> {
  return checked(expected, (value) => (parseDuration(value) ?? 0) > 0).transform((value) => parseDuration(value) ?? 0);
}

const size = z
  .union([z.number(), z.string()], { error: 'bytes a second, such as 50MB or 64MiB' })
  .transform((value) => (typeof value === 'number' ? value : (parseSize(value) ?? NaN)))
  .refine((value) => Number.isInteger(value) && value >= 100_000, {
    error: 'bytes a second, such as 50MB or 64MiB, and at least 100kB',
  });

const name = text('a name of letters, digits, ".", "_" and "-", 80 at most', NAME);
const port = z
  .int({ error: 'a port number from 1 to 65535' })
  .min(1, { error: 'a port number from 1 to 65535' })
  .max(65535, { error: 'a port number from 1 to 65535' });
const flag = z.boolean({ error: 'true or false' });
const group = text('a Slack user group id (S…) or user id (U…, W…)', /^[SUW][A-Z0-9]{2,}$/);
const channel = text('a Slack channel id (C… or G…), not a name', /^[CG][A-Z0-9]{2,}$/);
const hostKey = text(
  'an OpenSSH fingerprint such as SHA256:abc…, as ssh-keygen -l prints it',
  /^SHA256:[A-Za-z0-9+/]{43}$/,
);
const secret = z
  .strictObject(
    { env: text('the name of an environment variable').optional(), file: text('the path of a file').optional() },
    { error: 'a reference, { env: NAME } or { file: PATH }, never the secret itself' },
  )
  .refine((ref) => (ref.env === undefined) !== (ref.file === undefined), {
    error: 'either { env: NAME } or { file: PATH }',
  })
  .transform((ref): SecretRef => (ref.env === undefined ? { file: ref.file ?? '' } : { env: ref.env }));

/** What a node, a cluster's `ssh` or `defaults.ssh` may say; the nearest one counts. */
const sshSchema = z.strictObject({
  user: text('the name of the login on the node').optional(),
  port: port.optional(),
  hostKey: z
    .union([hostKey, z.array(hostKey)], { error: 'an OpenSSH fingerprint such as SHA256:abc…, or a list of them' })
    .optional(),
  keyFile: text('the path of a private key').optional(),
  passphraseFile: text('the path of a file with the passphrase of keyFile').optional(),
  agent: text("the path of an SSH agent's socket").optional(),
  passwordFile: text('the path of a file with the password').optional(),
  via: name.optional(),
  sudo: flag.optional(),
});
export type RawSsh = z.infer<typeof sshSchema>;

function backupSchema(calendar: CronCalendar) {
  const cron = checked(
    'a cron expression of five fields, such as "0 */6 * * *"',
    (value) => value.trim().split(/\s+/).length === 5 && accepts(() => calendar.next(value, 'UTC', new Date(0))),
  );
  const zone = checked('a time zone such as Europe/Berlin or UTC', (value) =>
    accepts(() => new Intl.DateTimeFormat('en', { timeZone: value })),
  );
  return z.strictObject({
    schedule: cron.optional(),
    timezone: zone.optional(),
    stores: z.array(name, { error: 'a list of store names' }).min(1, { error: 'at least one store' }).optional(),
    rpo: duration().optional(),
    timeout: duration().optional(),
    stallTimeout: duration().optional(),
    rateLimit: size.optional(),
    compression: z.enum(['zstd', 'none'], { error: 'zstd or none' }).optional(),
    attempts: z
      .int({ error: 'a whole number from 1 to 10' })
      .min(1, { error: 'a whole number from 1 to 10' })
      .max(10, { error: 'a whole number from 1 to 10' })
      .optional(),
  });
}
export type RawBackup = z.infer<ReturnType<typeof backupSchema>>;

const approvalCount = z
  .int({ error: 'a whole number from 1 to 20; the requester never counts' })
  .min(1, { error: 'a whole number from 1 to 20; the requester never counts' })
  .max(20, { error: 'a whole number from 1 to 20; the requester never counts' });

const restoreSchema = z.strictObject({
  approvals: approvalCount.optional(),
  expires: duration('a duration from 1m to 7d, such as 30m')
    .refine((ms) => ms >= 60_000 && ms <= 7 * 86_400_000, { error: 'a duration from 1m to 7d, such as 30m' })
    .optional(),
  mode: z.enum(['all-members', 'one-member'], { error: 'all-members or one-member' }).optional(),
  onFailure: z.enum(['roll-back', 'ask'], { error: 'roll-back or ask' }).optional(),
  kubelet: z.enum(['keep', 'stop', 'stop-with-containers'], { error: 'keep, stop or stop-with-containers' }).optional(),
  manifests: z.enum(['one-by-one', 'folder'], { error: 'one-by-one or folder' }).optional(),
});
export type RawRestore = z.infer<typeof restoreSchema>;

const approvalsSchema = z.strictObject({
  stepUp: z.enum(['none', 'totp'], { error: 'none or totp' }).optional(),
  breakGlass: z.strictObject({ approvals: approvalCount }, { error: '{ approvals: 1 }' }).optional(),
});
export type RawApprovals = z.infer<typeof approvalsSchema>;

const keepCount = z
  .int({ error: 'a whole number from 0 to 100000' })
  .min(0, { error: 'a whole number from 0 to 100000' })
  .max(100_000, { error: 'a whole number from 0 to 100000' });
const percent = 'a share such as 50%, from 1% to 100%';

const keepSchema = z.strictObject(
  {
    last: keepCount.optional(),
    days: keepCount.optional(),
    hourly: keepCount.optional(),
    daily: keepCount.optional(),
    weekly: keepCount.optional(),
    monthly: keepCount.optional(),
    yearly: keepCount.optional(),
  },
  { error: 'a section with last, days, hourly, daily, weekly, monthly or yearly' },
);
export type RawKeep = z.infer<typeof keepSchema>;

const retentionSchema = keepSchema.extend({
  mostAtOnce: checked(percent, (value) => /^([1-9]\d?|100)%$/.test(value))
    .transform((value) => Number(value.slice(0, -1)) / 100)
    .optional(),
  strayGrace: duration('a duration from 1h, such as 1d')
    .refine((ms) => ms >= 3_600_000, { error: 'a duration from 1h, such as 1d' })
    .optional(),
});
export type RawRetention = z.infer<typeof retentionSchema>;

const prefix = text('a path without leading or trailing slash', /^[^/].*[^/]$|^[^/]$|^$/).default('');

export const storeSchema = z.discriminatedUnion(
  'type',
  [
    z.strictObject({
      type: z.literal('s3'),
      endpoint: text('the URL of the S3 endpoint', /^https?:\/\/[^/@]+\/?$/).optional(),
      region: text('a region').default('us-east-1'),
      bucket: text('the name of a bucket', /^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$/),
      prefix,
      forcePathStyle: flag.default(false),
      allowPlainHttp: flag.default(false),
      caFile: text('the path of a PEM file').optional(),
      accessKeyId: secret.optional(),
      secretAccessKey: secret.optional(),
      serverSideEncryption: z.enum(['AES256', 'aws:kms'], { error: 'AES256 or aws:kms' }).optional(),
      kmsKeyId: text('the id or ARN of a KMS key').optional(),
      storageClass: text('a storage class such as STANDARD_IA', /^[A-Z][A-Z0-9_]+$/).optional(),
      retention: keepSchema.optional(),
    }),
    z.strictObject({
      type: z.literal('sftp'),
      host: text('a host name or address', /^[^\s/]+$/),
      path: text('an absolute path on the server', /^\//),
      legacyAlgorithms: flag.default(false),
      retention: keepSchema.optional(),
      ...sshSchema.omit({ sudo: true }).shape,
    }),
    z.strictObject({
      type: z.literal('azure-blob'),
      endpoint: text('the URL of the storage account', /^https?:\/\/[^/@]+(\/[^/@]+)?\/?$/),
      container: text('the name of a container', /^[a-z0-9](-?[a-z0-9]){2,62}$/),
      prefix,
      allowPlainHttp: flag.default(false),
      caFile: text('the path of a PEM file').optional(),
      accountName: text('the name of the storage account', /^[a-z0-9]{3,24}$/).optional(),
      accountKey: secret.optional(),
      sasToken: secret.optional(),
      retention: keepSchema.optional(),
    }),
    z.strictObject({
      type: z.literal('folder'),
      path: text('an absolute path', /^\//),
      retention: keepSchema.optional(),
    }),
  ],
  { error: 'type: s3, sftp, azure-blob or folder' },
);

export function configSchema(calendar: CronCalendar) {
  const backup = backupSchema(calendar);
  const groups = z.array(group, { error: 'a list of Slack user group ids (S…) or user ids (U…)' }).default([]);
  return z.strictObject(
    {
      slack: z.strictObject(
        {
          mode: z.enum(['socket', 'http'], { error: 'socket or http' }).default('socket'),
          command: text('a slash command such as /etcd', /^\/[a-z0-9_-]{1,31}$/).default('/etcd'),
          channels: z.strictObject(
            { results: channel, alerts: channel.optional() },
            { error: 'results: and alerts:, each a channel id' },
          ),
          oncall: text('a Slack user group id (S…)', /^S[A-Z0-9]{2,}$/).optional(),
          botToken: secret.default({ env: 'SLACK_BOT_TOKEN' }),
          appToken: secret.default({ env: 'SLACK_APP_TOKEN' }),
          signingSecret: secret.default({ env: 'SLACK_SIGNING_SECRET' }),
          port: port.default(3000),
          apiUrl: text('the URL of a Web API that ends in /api/', /^https?:\/\/.+\/api\/$/).optional(),
        },
        { error: 'a section with mode, command and channels' },
      ),
      redis: z.strictObject(
        {
          url: checked(
            'redis://host:port, rediss://host:port or unix:///path, without a password in it',
            plainRedisUrl,
          ),
          password: secret.optional(),
          prefix: text('letters, digits and "-"', /^[A-Za-z0-9-]{1,40}$/).default('keyturn'),
        },
        { error: 'a section with url' },
      ),
      stores: z.record(name, storeSchema, { error: 'stores by name, at least one' }),
      bastions: z
        .record(name, z.strictObject({ address: text('a host name or address'), ssh: sshSchema.omit({ via: true }) }), {
          error: 'jump hosts by name',
        })
        .default({}),
      people: z
        .strictObject(
          { request: groups, approve: groups, operate: groups },
          { error: 'request:, approve: and operate:, each a list' },
        )
        .default({ request: [], approve: [], operate: [] }),
      defaults: z
        .strictObject({
          ssh: sshSchema.default({}),
          backup: backup.default({}),
          retention: retentionSchema.default({}),
          restore: restoreSchema.default({}),
          approvals: approvalsSchema.default({}),
        })
        .default({ ssh: {}, backup: {}, retention: {}, restore: {}, approvals: {} }),
      clusters: z
        .array(
          z.strictObject({
            name,
            ssh: sshSchema.default({}),
            nodes: z
              .array(
                z.strictObject({
                  name,
                  address: text('a host name or address', /^[^\s/]+$/),
                  ssh: sshSchema.default({}),
                }),
                { error: 'a list of nodes' },
              )
              .min(1, { error: 'at least one node' }),
            backup: backup.default({}),
            retention: retentionSchema.default({}),
            restore: restoreSchema.default({}),
            approvals: approvalsSchema.default({}),
          }),
          { error: 'a list of clusters' },
        )
        .min(1, { error: 'at least one cluster' }),
      audit: z
        .strictObject(
          { folder: text('an absolute path', /^\//).default('/var/lib/keyturn/audit'), store: name.optional() },
          { error: 'a section with folder and store' },
        )
        .default({ folder: '/var/lib/keyturn/audit' }),
      encryption: z
        .strictObject(
          {
            recipients: z
              .array(text('an age recipient: age1 and 58 small letters and digits', /^age1[a-z0-9]{58}$/), {
                error: 'a list of age recipients',
              })
              .default([]),
            passphraseFile: text('the path of a file with the passphrase').optional(),
            identityFiles: z
              .array(text('the path of an age identity file'), { error: 'a list of age identity files' })
              .default([]),
          },
          { error: 'a section with recipients or passphraseFile, and identityFiles' },
        )
        .default({ recipients: [], identityFiles: [] }),
      scrub: z
        .strictObject(
          {
            enabled: flag.default(true),
            every: duration().default(30 * 86_400_000),
            rateLimit: size.default(20_000_000),
          },
          { error: 'a section with enabled, every and rateLimit' },
        )
        .default({ enabled: true, every: 30 * 86_400_000, rateLimit: 20_000_000 }),
      stepUp: z
        .strictObject({ key: secret }, { error: 'a section with key, which seals the secrets of one-time codes' })
        .optional(),
      worker: z
        .strictObject({
          concurrency: z
            .int({ error: 'a whole number from 1 to 64' })
            .min(1, { error: 'a whole number from 1 to 64' })
            .max(64, { error: 'a whole number from 1 to 64' })
            .default(2),
        })
        .default({ concurrency: 2 }),
      log: z
        .strictObject({
          level: z.enum(['debug', 'info', 'warn', 'error'], { error: 'debug, info, warn or error' }).default('info'),
        })
        .default({ level: 'info' }),
    },
    { error: 'a mapping with slack, redis, stores, people and clusters' },
  );
}
export type RawConfig = z.infer<ReturnType<typeof configSchema>>;

function accepts(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch {
    return false;
  }
}

function plainRedisUrl(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const url = new URL(value);
  return ['redis:', 'rediss:', 'unix:'].includes(url.protocol) && url.password === '';
}
