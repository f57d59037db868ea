/** Owns the local Azure Blob service: Azurite as a process of its own, which keeps what it has acknowledged and may have a quota. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { systemPath } from '../parts/host.ts';
import { LocalPartsError } from '../parts/problem.ts';

export interface AzuriteOptions {
  /** Data and log; made when missing, kept when stopped. */
  readonly dir: string;
  /** What `ensureAzurite` answers. */
  readonly program: string;
  readonly port: number;
  readonly accountName: string;
  /** Base64. */
  readonly accountKey: string;
  /** Made when missing. */
  readonly container: string;
  /** Bytes that it may hold, uncommitted blocks counted too; what would pass it is refused for good. Undefined: no limit. */
  readonly quota?: number;
}

export interface LocalAzurite {
  /** `http://127.0.0.1:10000/account` */
  readonly endpoint: string;
  /** Ends it in order; safe twice. */
  stop(): Promise<void>;
  /** Ends it as a power cut would. */
  kill9(): Promise<void>;
  /** Starts it again after `stop` or `kill9`, with the same data. */
  restart(): Promise<void>;
  /** Stands still: connections are accepted by the kernel and never answered. */
  pause(): void;
  resume(): void;
}

const START_WITHIN_MS = 30_000;
const preload = fileURLToPath(new URL('azurite-preload.cjs', import.meta.url));

/**
 * Starts Azurite on the loopback address and resolves when the container is there (about 1 s). It ends with this process,
 * however that ends. Throws LocalPartsError with the end of its log.
 */
export async function startAzurite(options: AzuriteOptions): Promise<LocalAzurite> {
  await mkdir(join(options.dir, 'data'), { recursive: true });
  const endpoint = `http://127.0.0.1:${options.port}/${options.accountName}`;
  let server = await launch(options, endpoint);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (hasEnded(server)) return;
    const ended = once(server, 'exit');
    // A process that stands still takes no other signal than SIGKILL and SIGCONT.
    server.kill('SIGCONT');
    server.kill(signal);
    await ended;
  };
  return {
    endpoint,
    stop: () => end('SIGTERM'),
    kill9: () => end('SIGKILL'),
    async restart() {
      await end('SIGTERM');
      server = await launch(options, endpoint);
    },
    pause: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
  };
}

async function launch(options: AzuriteOptions, endpoint: string): Promise<ChildProcess> {
  const { dir, program, accountName, accountKey, quota } = options;
  const logFile = join(dir, 'log');
  const log = await open(logFile, 'a', 0o600);
  const azurite = [process.execPath, '--require', preload, program, ...settings(options)];
  // It dies with us; setpriv becomes the server, so its pid is the child's.
  const server = spawn('setpriv', ['--pdeathsig', 'KILL', ...azurite], {
    cwd: dir,
    env: {
      PATH: systemPath,
      AZURITE_ACCOUNTS: `${accountName}:${accountKey}`,
      ...(quota === undefined ? {} : { KEYTURN_QUOTA: String(quota) }),
    },
    stdio: ['ignore', log.fd, log.fd],
  });
  await log.close();
  const deadline = Date.now() + START_WITHIN_MS;
  while (Date.now() < deadline && !hasEnded(server)) {
    if (await makesContainer(options, endpoint)) return server;
    await new Promise((done) => setTimeout(done, 50));
  }
  server.kill('SIGKILL');
  throw new LocalPartsError(`Azurite did not start: ${(await readFile(logFile, 'utf8')).slice(-1_000)}`, {
    hint: `See that port ${options.port} is free and that ${dir} can be written to.`,
  });
}

function settings({ dir, port }: AzuriteOptions): string[] {
  return [
    ...['--blobHost', '127.0.0.1', '--blobPort', String(port), '--location', join(dir, 'data')],
    ...['--silent', '--disableTelemetry', '--skipApiVersionCheck', '--disableProductStyleUrl'],
  ];
}

async function makesContainer(options: AzuriteOptions, endpoint: string): Promise<boolean> {
  const { accountName, accountKey, container } = options;
  const client = new ContainerClient(
    `${endpoint}/${container}`,
    new StorageSharedKeyCredential(accountName, accountKey),
    { retryOptions: { maxTries: 1 } },
  );
  return client.createIfNotExists({ abortSignal: AbortSignal.timeout(2_000) }).then(
    () => true,
    () => false,
  );
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
