/** Owns the way from what a file says to what the program uses: defaults filled in, references resolved. */
import type { z } from 'zod';
import type { BackupPolicy, NodeSpec, SshLogin } from '../domain/cluster.ts';
import type { KubeletStop, RestorePolicy } from '../domain/restore-policy.ts';
import { mergeLogin } from './login.ts';
import type { RetentionPolicy, RetentionSpec } from '../domain/retention.ts';
import type {
  RawApprovals,
  RawBackup,
  RawConfig,
  RawKeep,
  RawRestore,
  RawRetention,
  RawSsh,
  storeSchema,
} from './schema.ts';
import type { AzureBlobStoreConfig, Config, StoreConfig } from './types.ts';

/** Beside the requester: three people in all. */
export const DEFAULT_APPROVALS = 2;

/** What the file says, with every default filled in. */
export function buildConfig(raw: RawConfig): Config {
  const { slack, redis, people, worker, log } = raw;
  return {
    slack: {
      mode: slack.mode,
      command: slack.command,
      channels: { results: slack.channels.results, alerts: slack.channels.alerts ?? slack.channels.results },
      oncall: slack.oncall,
      botToken: slack.botToken,
      appToken: slack.mode === 'socket' ? slack.appToken : undefined,
      signingSecret: slack.mode === 'http' ? slack.signingSecret : undefined,
      port: slack.port,
      apiUrl: slack.apiUrl,
    },
    redis: { url: redis.url, password: redis.password, prefix: redis.prefix },
    stores: Object.entries(raw.stores).map(([key, store]) => toStore(key, store)),
    bastions: Object.entries(raw.bastions).map(([key, bastion]) => ({
      name: key,
      address: bastion.address,
      // A jump host is reached straight, whatever the nodes' default says.
      ssh: toLogin([raw.defaults.ssh, bastion.ssh, { via: undefined }]),
    })),
    people,
    clusters: raw.clusters.map((cluster) => ({
      name: cluster.name,
      nodes: cluster.nodes.map((node) => toNode(node, [raw.defaults.ssh, cluster.ssh, node.ssh])),
      backup: toBackup({ ...raw.defaults.backup, ...cluster.backup }, Object.keys(raw.stores)),
      retention: toRetention({ ...raw.defaults.retention, ...cluster.retention }),
      restore: toRestore(
        { ...raw.defaults.restore, ...cluster.restore },
        { ...raw.defaults.approvals, ...cluster.approvals },
        people.approve,
      ),
    })),
    audit: { folder: raw.audit.folder, store: raw.audit.store ?? Object.keys(raw.stores)[0] ?? '' },
    encryption: { ...raw.encryption, passphraseFile: raw.encryption.passphraseFile },
    scrub: { enabled: raw.scrub.enabled, everyMs: raw.scrub.every, rateLimit: raw.scrub.rateLimit },
    stepUpKey: raw.stepUp?.key,
    worker,
    log,
  };
}

function toStore(name: string, raw: z.infer<typeof storeSchema>): StoreConfig {
  const retention = raw.retention && toKeep(raw.retention);
  switch (raw.type) {
    case 'folder':
      return { name, type: 'folder', path: raw.path, retention };
    case 's3': {
      const { accessKeyId, secretAccessKey, ...rest } = raw;
      const { endpoint, caFile, serverSideEncryption, kmsKeyId, storageClass } = raw;
      const credentials =
        accessKeyId === undefined || secretAccessKey === undefined ? undefined : { accessKeyId, secretAccessKey };
      return { ...rest, name, endpoint, caFile, serverSideEncryption, kmsKeyId, storageClass, credentials, retention };
    }
    case 'sftp': {
      const { host, path, legacyAlgorithms, type } = raw;
      return { name, type, host, path, legacyAlgorithms, ssh: toLogin([raw]), retention };
    }
    case 'azure-blob': {
      const { type, endpoint, container, prefix, allowPlainHttp, caFile } = raw;
      return {
        ...{ name, type, endpoint, container, prefix, allowPlainHttp, caFile, retention },
        credentials: toAzureCredentials(raw),
      };
    }
  }
}

type RawAzure = Extract<z.infer<typeof storeSchema>, { type: 'azure-blob' }>;

function toAzureCredentials({ accountName, accountKey, sasToken }: RawAzure): AzureBlobStoreConfig['credentials'] {
  if (sasToken !== undefined) return { kind: 'sas', sasToken };
  return accountName === undefined || accountKey === undefined
    ? { kind: 'default' }
    : { kind: 'key', accountName, accountKey };
}

/** Half of what there is may go at once without a person's word. */
const MOST_AT_ONCE = 0.5;
const STRAY_GRACE_MS = 86_400_000;

function toRetention({ mostAtOnce, strayGrace, ...keep }: RawRetention): RetentionSpec {
  return {
    policy: toKeep(keep),
    mostAtOnce: mostAtOnce ?? MOST_AT_ONCE,
    strayGraceMs: strayGrace ?? STRAY_GRACE_MS,
  };
}

function toKeep(raw: RawKeep): RetentionPolicy {
  return Object.fromEntries(Object.entries(raw).filter(([, count]) => count !== undefined));
}

function toNode(raw: { name: string; address: string }, layers: readonly RawSsh[]): NodeSpec {
  const ssh = toLogin(layers);
  const sudo = layers.map((layer) => layer.sudo).findLast((value) => value !== undefined) ?? ssh.user !== 'root';
  return { name: raw.name, address: raw.address, ssh, become: sudo ? 'sudo' : 'none' };
}

function toLogin(layers: readonly RawSsh[]): SshLogin {
  const merged = mergeLogin(layers) as RawSsh;
  return {
    user: merged.user ?? '',
    port: merged.port ?? 22,
    hostKeys: [merged.hostKey ?? []].flat(),
    auth: toAuth(merged),
    ...(merged.via === undefined ? {} : { via: merged.via }),
  };
}

function toAuth(raw: RawSsh): SshLogin['auth'] {
  if (raw.passwordFile !== undefined) return { kind: 'password', passwordFile: raw.passwordFile };
  if (raw.agent !== undefined) return { kind: 'agent', socket: raw.agent };
  return {
    kind: 'key',
    keyFile: raw.keyFile ?? '',
    ...(raw.passphraseFile === undefined ? {} : { passphraseFile: raw.passphraseFile }),
  };
}

function toBackup(raw: RawBackup, allStores: readonly string[]): BackupPolicy {
  return {
    schedule: raw.schedule,
    timezone: raw.timezone ?? 'UTC',
    stores: raw.stores ?? allStores,
    rpoMs: raw.rpo,
    timeoutMs: raw.timeout ?? 3_600_000,
    stallTimeoutMs: raw.stallTimeout ?? 60_000,
    rateLimit: raw.rateLimit,
    compression: raw.compression ?? 'zstd',
    attempts: raw.attempts ?? 3,
  };
}

const KUBELET: Readonly<Record<NonNullable<RawRestore['kubelet']>, KubeletStop>> = {
  keep: 'no',
  stop: 'kubelet',
  'stop-with-containers': 'kubelet-and-containers',
};

function toRestore(raw: RawRestore, approvals: RawApprovals, approvers: readonly string[]): RestorePolicy {
  const { breakGlass } = approvals;
  return {
    approvals: {
      threshold: raw.approvals ?? DEFAULT_APPROVALS,
      groups: approvers,
      expiresMs: raw.expires ?? 1_800_000,
      stepUp: approvals.stepUp ?? 'none',
      breakGlass: breakGlass === undefined ? undefined : { threshold: breakGlass.approvals },
    },
    mode: raw.mode ?? 'all-members',
    onFailure: raw.onFailure ?? 'roll-back',
    kubelet: KUBELET[raw.kubelet ?? 'keep'],
    manifests: raw.manifests ?? 'one-by-one',
  };
}
