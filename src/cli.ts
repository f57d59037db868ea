/** Owns the command line: its words, its options, and what its exit codes mean. */
import { Command, Option } from 'commander';
import type { Config, ReadConfig } from './config.ts';
import type { Reader, Role } from './config/secrets.ts';
import { KeyturnError } from './domain/error.ts';

/** What the words do. Each may throw KeyturnError. */
export interface Handlers {
  read(file: string, reader: Reader): ReadConfig;
  run(config: Config, role: Role, file: string): Promise<void>;
  /** Whether all is well. */
  check(config: Config): Promise<boolean>;
  /** Whether it is whole. */
  verifyAudit(config: Config): Promise<boolean>;
  /** The file's text. */
  sudoers(options: {
    readonly user: string;
    readonly files: readonly string[] | undefined;
    readonly backupsOnly: boolean;
  }): string;
}

/** Something does not work, or is not whole. */
const NOT_WELL = 1;
const WRONG_CONFIG = 2;

/** Does what this process was called with. */
export function commandLine(version: string, handlers: Handlers): void {
  const program = new Command('keyturn')
    .description('Backs up and restores the etcd of Kubernetes clusters, from Slack.')
    .version(version);

  program
    .command('run', { isDefault: true })
    .description('runs the bot until it is told to stop')
    .addOption(configOption())
    .addOption(new Option('--role <role>', 'which half to run').choices(['all', 'chat', 'worker']).default('all'))
    .action(async ({ config, role }: { config: string; role: Role }) =>
      handlers.run(configIn(handlers, config, role), role, config),
    );

  program
    .command('check')
    .description('validates the configuration and tries every connection, one line each')
    .addOption(configOption())
    .action(async ({ config }: { config: string }) => {
      process.exitCode = (await handlers.check(configIn(handlers, config, 'all'))) ? 0 : NOT_WELL;
    });

  program
    .command('audit')
    .description('looks into the audit')
    .command('verify')
    .description('proves the audit whole, on disk and in its store (exit code 1: it is not)')
    .addOption(configOption())
    .action(async ({ config }: { config: string }) => {
      process.exitCode = (await handlers.verifyAudit(configIn(handlers, config, 'audit'))) ? 0 : NOT_WELL;
    });

  program
    .command('sudoers')
    .description('prints what /etc/sudoers.d/keyturn on the nodes has to allow for backups and restores')
    .option('--user <name>', 'the login on the nodes', 'keyturn')
    .option('--files <paths...>', "etcd's CA, certificate, key and manifest, where they are not kubeadm's")
    .option('--backups-only', 'leaves out the line that restores need: a shell as root', false)
    .action(({ user, files, backupsOnly }: { user: string; files?: string[]; backupsOnly: boolean }) => {
      process.stdout.write(handlers.sudoers({ user, files, backupsOnly }));
    });

  program.parseAsync().catch((error: unknown) => {
    if (!(error instanceof KeyturnError)) throw error;
    console.error(`${error.message} ${error.hint}`);
    process.exit(error.code === 'config.invalid' ? WRONG_CONFIG : NOT_WELL);
  });
}

function configOption(): Option {
  return new Option('-c, --config <file>', 'the configuration').env('KEYTURN_CONFIG').makeOptionMandatory();
}

/** Ends the process with every problem of the configuration when there is one. */
function configIn(handlers: Handlers, file: string, reader: Reader): Config {
  const found = handlers.read(file, reader);
  if (found.ok) return found.config;
  const { problems } = found;
  const title = `${file}: ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}`;
  console.error([title, ...problems].join('\n  '));
  process.exit(WRONG_CONFIG);
}
