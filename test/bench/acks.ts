/** Owns the benchmark of acknowledgements: how soon slash commands are acked while a backup runs, against an idle bot. */
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { tsxArgv } from '../../deploy/local/bot.ts';
import { S3_ACCESS, startEnvironment, type Environment } from '../../deploy/local/environment.ts';
import { cloneDir } from '../../deploy/local/parts/host.ts';
import type { LocalEnv } from '../support/local-env.ts';
import type { AckSamples } from './ack-load.ts';
import type { EtcdAccess } from './kv.ts';
import { percentile, type Result } from './results.ts';

export interface AcksBenchOptions {
  /** Rounds; each sends 200 commands to the idle bot and 200 while a backup runs. */
  readonly runs: number;
  readonly onProgress: (line: string) => void;
  readonly onResult: (result: Result) => void;
}

/** A backup of this size, held back by ack-load.ts, lasts longer than the commands. */
const DB_BYTES = 512 * 1024 ** 2;
const PKI = '/etc/kubernetes/pki/etcd';

export async function benchAcks({ runs, onProgress, onResult }: AcksBenchOptions): Promise<void> {
  const dir = join(cloneDir, '.local/bench-acks');
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const environment = await startEnvironment({
    dir,
    clusters: [{ name: 'bench', etcdVersion: '3.5', nodes: ['cp1'] }],
    onProgress,
  });
  try {
    onProgress(`bench: filling etcd with ${DB_BYTES} bytes`);
    await inHub(
      environment,
      'test/bench/fill.ts',
      JSON.stringify({ access: await accessOf(environment), bytes: DB_BYTES }),
    );
    const description = join(dir, 'environment.json');
    await writeFile(description, JSON.stringify(describe(environment)));
    onProgress(`bench: acknowledgements, ${runs} rounds`);
    const lines = await inHub(environment, 'test/bench/ack-load.ts', String(runs), { KEYTURN_TEST_ENV: description });
    const samples = lines.map((line) => JSON.parse(line) as AckSamples);
    const busy = samples.flatMap((sample) => sample.busy);
    const idle = samples.flatMap((sample) => sample.idle);
    const tell = (name: string, value: number, unit: string): void =>
      onResult({ name: `acks.${name}`, value: Number(value.toPrecision(4)), unit, runs });
    tell('p50_ms', percentile(busy, 0.5), 'ms');
    tell('p99_ms', percentile(busy, 0.99), 'ms');
    tell('max_ms', Math.max(...busy), 'ms');
    tell('p50_idle_ms', percentile(idle, 0.5), 'ms');
    tell('p99_idle_ms', percentile(idle, 0.99), 'ms');
    tell('max_idle_ms', Math.max(...idle), 'ms');
    tell('p99_ratio_idle', percentile(busy, 0.99) / percentile(idle, 0.99), 'ratio');
  } finally {
    await environment.stop();
  }
}

/** Runs a program of this clone in the nodes' network to its end; the lines that it printed. */
async function inHub(
  { nodes }: Environment,
  program: string,
  argument: string,
  env: NodeJS.ProcessEnv = {},
): Promise<string[]> {
  const child = nodes.execInHub(tsxArgv(program, [argument]), {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: cloneDir,
  });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  if (child.stdout !== null) for await (const line of createInterface(child.stdout)) lines.push(line);
  const [code] = (await exited) as [number | null];
  if (code !== 0) throw new Error(`${program} failed.`);
  return lines;
}

async function accessOf({ nodes }: Environment): Promise<EtcdAccess> {
  const node = nodes.cluster('bench').node('cp1');
  const read = async (file: string): Promise<string> => (await node.exec(['cat', `${PKI}/${file}`])).stdout;
  return {
    address: node.address,
    ca: await read('ca.crt'),
    cert: await read('server.crt'),
    key: await read('server.key'),
  };
}

function describe({ nodes, redis, s3, sftp }: Environment): LocalEnv {
  return {
    clusters: nodes.clusters.map(({ name, etcdVersion, nodes: machines }) => ({
      name,
      etcdVersion,
      nodes: machines.map((machine) => ({
        name: machine.name,
        address: machine.address,
        hostKey: machine.hostKey,
        inside: machine.inside([]),
      })),
    })),
    ssh: nodes.ssh,
    redis: { url: redis.url },
    s3: { endpoint: s3.endpoint, ...S3_ACCESS },
    sftp,
    controlSocket: '',
    chromium: '',
  };
}
