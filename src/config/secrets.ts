/** Owns which secrets a configuration refers to, so that all that are missing can be told at once, and what they come to. */
import { readFileSync } from 'node:fs';
import type { Config, SecretRef } from './types.ts';

/** Which half of the bot runs; the worker asks Slack who people are, and hears nothing from it. */
export type Role = 'all' | 'chat' | 'worker';

/** Who asks for secrets: a half of the bot, or `keyturn audit`, which reads one store and nothing else. */
export type Reader = Role | 'audit';

export interface NamedSecret {
  /** Where the configuration refers to it. */
  readonly path: string;
  readonly ref: SecretRef;
}

/** Every secret that this reader will ask for. Files with SSH keys are read by the SSH adapter when it logs in. */
export function secretRefs(config: Config, reader: Reader): NamedSecret[] {
  const { slack, redis, stores, stepUpKey, audit } = config;
  const named: readonly MaybeSecret[] =
    reader === 'audit'
      ? storeSecrets(stores.filter(({ name }) => name === audit.store))
      : [
          ...slackSecrets(slack, reader),
          { path: 'redis.password', ref: redis.password },
          ...storeSecrets(stores),
          { path: 'stepUp.key', ref: reader === 'worker' ? undefined : stepUpKey },
        ];
  return named.flatMap(({ path, ref }) => (ref === undefined ? [] : [{ path, ref }]));
}

interface MaybeSecret {
  readonly path: string;
  readonly ref: SecretRef | undefined;
}

function storeSecrets(stores: Config['stores']): readonly MaybeSecret[] {
  return stores.flatMap((store): readonly MaybeSecret[] => {
    const at = (field: string, ref: SecretRef | undefined) => ({ path: `stores.${store.name}.${field}`, ref });
    if (store.type === 's3') {
      const { accessKeyId, secretAccessKey } = store.credentials ?? {};
      return [at('accessKeyId', accessKeyId), at('secretAccessKey', secretAccessKey)];
    }
    if (store.type !== 'azure-blob') return [];
    const { credentials } = store;
    if (credentials.kind === 'key') return [at('accountKey', credentials.accountKey)];
    return credentials.kind === 'sas' ? [at('sasToken', credentials.sasToken)] : [];
  });
}

function slackSecrets({ botToken, appToken, signingSecret }: Config['slack'], role: Role): readonly MaybeSecret[] {
  const bot = { path: 'slack.botToken', ref: botToken };
  if (role === 'worker') return [bot];
  return [bot, { path: 'slack.appToken', ref: appToken }, { path: 'slack.signingSecret', ref: signingSecret }];
}

/** One line, in the form of the configuration's other problems. */
export function renderMissingSecret({ path, ref }: NamedSecret): string {
  return 'env' in ref
    ? `${path}: found no environment variable ${ref.env}; expected the secret in it`
    : `${path}: found nothing readable in ${ref.file}; expected the secret in it`;
}

/** What a reference leads to; undefined when there is nothing, and an empty one counts as nothing. */
export function secretValue(ref: SecretRef): string | undefined {
  try {
    const value = 'env' in ref ? process.env[ref.env] : readFileSync(ref.file, 'utf8').trim();
    return value === '' ? undefined : value;
  } catch {
    return undefined;
  }
}
