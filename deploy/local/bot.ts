/** Owns how the bot is run against local parts: its configuration file, its secrets, its process. */
import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { stringify } from 'yaml';
import { S3_ACCESS } from './environment.ts';
import { cloneDir } from './parts/host.ts';
import type { LocalSftp } from './services/sftp.ts';

/** What the configuration is made of; `clusters` and the rest of `more` are laid over it as they are. */
export interface LocalBotSettings {
  /** Where configuration and secrets are written. */
  readonly dir: string;
  readonly slack: {
    readonly apiUrl: string;
    readonly tokens: { readonly bot: string; readonly app: string };
    readonly channels: { readonly results: string; readonly alerts: string };
    readonly oncall?: string;
  };
  readonly redisUrl: string;
  readonly redisPrefix?: string;
  readonly s3Endpoint: string;
  readonly s3Secret?: string;
  readonly s3Prefix?: string;
  /** The second store; `path` must be there. Undefined: none. */
  readonly offsite?: Pick<LocalSftp, 'host' | 'port' | 'user' | 'path' | 'keyFile' | 'hostKey'>;
  readonly operators: readonly string[];
  readonly ssh: { readonly user: string; readonly keyFile: string };
  readonly clusters: readonly object[];
  readonly more?: object;
}

/** Writes `keyturn.yaml` and the files with secrets beside it; the path of the former. */
export async function writeBotConfig(settings: LocalBotSettings): Promise<string> {
  const { dir, slack, ssh } = settings;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const secret = async (name: string, value: string): Promise<{ file: string }> => {
    const file = join(dir, name);
    await writeFile(file, value, { mode: 0o600 });
    return { file };
  };
  const config = {
    slack: {
      mode: 'socket',
      apiUrl: slack.apiUrl,
      channels: slack.channels,
      ...(slack.oncall === undefined ? {} : { oncall: slack.oncall }),
      botToken: await secret('slack-bot-token', slack.tokens.bot),
      appToken: await secret('slack-app-token', slack.tokens.app),
    },
    redis: { url: settings.redisUrl, ...(settings.redisPrefix === undefined ? {} : { prefix: settings.redisPrefix }) },
    stores: {
      s3: {
        type: 's3',
        endpoint: settings.s3Endpoint,
        allowPlainHttp: true,
        bucket: S3_ACCESS.bucket,
        forcePathStyle: true,
        prefix: settings.s3Prefix ?? '',
        accessKeyId: await secret('s3-access-key', S3_ACCESS.accessKey),
        secretAccessKey: await secret('s3-secret-key', settings.s3Secret ?? S3_ACCESS.secretKey),
      },
      ...(settings.offsite === undefined ? {} : { offsite: sftpSection(settings.offsite) }),
    },
    people: { operate: settings.operators },
    defaults: { ssh: { user: ssh.user, keyFile: ssh.keyFile } },
    clusters: settings.clusters,
    audit: { folder: join(dir, 'audit') },
    ...settings.more,
  };
  const file = join(dir, 'keyturn.yaml');
  await writeFile(file, stringify(config), { mode: 0o600 });
  return file;
}

/** A store as the bot's configuration names it. */
function sftpSection({ host, port, user, path, keyFile, hostKey }: NonNullable<LocalBotSettings['offsite']>): object {
  return { type: 'sftp', host, port, user, path, keyFile, hostKey };
}

/** The argv that runs a TypeScript program of this clone with this Node. */
export function tsxArgv(program: string, args: readonly string[] = []): string[] {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return [process.execPath, '--import', tsx, join(cloneDir, program), ...args];
}
