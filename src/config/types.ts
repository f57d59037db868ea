/** Owns the configuration as the program sees it. */
import type { ClusterSpec, SshLogin } from '../domain/cluster.ts';
import type { RoleHolders } from '../domain/permission.ts';
import type { RetentionPolicy } from '../domain/retention.ts';

/** A secret, by reference: the value is read when used and never kept in the configuration. */
export type SecretRef = { readonly env: string } | { readonly file: string };

export interface SlackConfig {
  readonly mode: 'socket' | 'http';
  /** The slash command, e.g. `/etcd`. */
  readonly command: string;
  readonly channels: { readonly results: string; readonly alerts: string };
  /** User group that is mentioned when a backup fails. */
  readonly oncall: string | undefined;
  readonly botToken: SecretRef;
  /** Socket Mode only. */
  readonly appToken: SecretRef | undefined;
  /** HTTP mode only. */
  readonly signingSecret: SecretRef | undefined;
  /** HTTP mode only; default 3000. */
  readonly port: number;
  /** Another Web API than Slack's own: the local workspace. */
  readonly apiUrl: string | undefined;
}

export interface RedisConfig {
  /** `redis://`, `rediss://` or `unix:///path`. */
  readonly url: string;
  readonly password: SecretRef | undefined;
  /** Prefix of every key; default `keyturn`. */
  readonly prefix: string;
}

export interface S3StoreConfig {
  readonly name: string;
  readonly type: 's3';
  /** Undefined: AWS's own for the region. */
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly bucket: string;
  /** Without leading or trailing slash; may be empty. */
  readonly prefix: string;
  readonly forcePathStyle: boolean;
  /** `http://` endpoints are refused unless this is true. */
  readonly allowPlainHttp: boolean;
  /** PEM bundle for the endpoint's certificate. */
  readonly caFile: string | undefined;
  /** Undefined: the SDK's default chain (environment, profile, role). */
  readonly credentials: { readonly accessKeyId: SecretRef; readonly secretAccessKey: SecretRef } | undefined;
  readonly serverSideEncryption: 'AES256' | 'aws:kms' | undefined;
  /** Only with `aws:kms`; undefined: the bucket's or AWS's own key. */
  readonly kmsKeyId: string | undefined;
  /** Of snapshots; manifests stay in the standard class. */
  readonly storageClass: string | undefined;
  /** Instead of the cluster's own. */
  readonly retention: RetentionPolicy | undefined;
}

export interface SftpStoreConfig {
  readonly name: string;
  readonly type: 'sftp';
  readonly host: string;
  /** Absolute, on the server; must exist. */
  readonly path: string;
  readonly ssh: SshLogin;
  /** Also offer what OpenSSH gave up: diffie-hellman-group1-sha1, ssh-rsa and the like. */
  readonly legacyAlgorithms: boolean;
  readonly retention: RetentionPolicy | undefined;
}

export interface AzureBlobStoreConfig {
  readonly name: string;
  readonly type: 'azure-blob';
  /** `https://ACCOUNT.blob.core.windows.net`; of others with the account behind it. */
  readonly endpoint: string;
  readonly container: string;
  readonly prefix: string;
  readonly allowPlainHttp: boolean;
  readonly caFile: string | undefined;
  /** 'default': what the environment has (managed identity, workload identity, service principal). */
  readonly credentials:
    | { readonly kind: 'key'; readonly accountName: string; readonly accountKey: SecretRef }
    | { readonly kind: 'sas'; readonly sasToken: SecretRef }
    | { readonly kind: 'default' };
  readonly retention: RetentionPolicy | undefined;
}

export interface FolderStoreConfig {
  readonly name: string;
  readonly type: 'folder';
  readonly path: string;
  readonly retention: RetentionPolicy | undefined;
}

export type StoreConfig = S3StoreConfig | SftpStoreConfig | AzureBlobStoreConfig | FolderStoreConfig;

export interface EncryptionConfig {
  /** age recipients, `age1…`; empty: new snapshots are not encrypted, unless there is a passphrase. */
  readonly recipients: readonly string[];
  /** Instead of recipients. */
  readonly passphraseFile: string | undefined;
  /** Needed for restores and drills of what is encrypted, and for nothing else. */
  readonly identityFiles: readonly string[];
}

export interface Config {
  readonly slack: SlackConfig;
  readonly redis: RedisConfig;
  readonly stores: readonly StoreConfig[];
  readonly bastions: readonly { readonly name: string; readonly address: string; readonly ssh: SshLogin }[];
  readonly people: RoleHolders;
  readonly clusters: readonly ClusterSpec[];
  readonly encryption: EncryptionConfig;
  /** Every stored copy is read again within `everyMs`, at `rateLimit` bytes a second. */
  readonly scrub: { readonly enabled: boolean; readonly everyMs: number; readonly rateLimit: number };
  readonly audit: {
    /** On the disk of each machine that runs Keyturn. */
    readonly folder: string;
    /** Name of the store that gets a copy; the first store by default. */
    readonly store: string;
  };
  /** Seals the secrets of one-time codes: 32 bytes in base64 or hexadecimal. Needed where a cluster says `stepUp: totp`. */
  readonly stepUpKey: SecretRef | undefined;
  /** Where running jobs live: in a process of their own, so that Slack is acked at once. */
  readonly worker: { readonly concurrency: number };
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' };
}
