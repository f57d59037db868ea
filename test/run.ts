/**
 * Owns `npm test`: starts the local parts, runs vitest in their network, ends them, and closes with the count of tests.
 * Arguments go to vitest; without any, the rings unit, integration and e2e run.
 */
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { S3_ACCESS, startEnvironment, type Environment } from '../deploy/local/environment.ts';
import { ensureAzurite } from '../deploy/local/parts/azurite.ts';
import { ensureChromium } from '../deploy/local/parts/chromium.ts';
import { becomeRoot, cloneDir, defaultCacheDir } from '../deploy/local/parts/host.ts';
import type { LocalNode } from '../deploy/local/nodes/nodes.ts';
import { ensureKubernetes } from '../deploy/local/parts/kubernetes.ts';
import { LocalPartsError } from '../deploy/local/parts/problem.ts';
import { ensureRootfs } from '../deploy/local/parts/rootfs.ts';
import { pathWithTools } from '../deploy/local/parts/tools.ts';
import { serveControl } from './support/control-server.ts';

const DEFAULT_RINGS = ['--project', 'unit', '--project', 'integration', '--project', 'e2e'];
const rings = process.argv.length > 2 ? process.argv.slice(2) : DEFAULT_RINGS;

const dir = join(cloneDir, '.local/test');
const resultsFile = join(cloneDir, '.local/test-results.json');

await becomeRoot();
await mkdir(join(cloneDir, '.local'), { recursive: true });
await rm(resultsFile, { force: true });
let environment: Environment | undefined;
let exitCode = 1;
try {
  const onProgress = (line: string): void => console.log(line);
  const chromium = await ensureChromium({ onProgress });
  // Here, not in the tests: their network reaches no mirror, and building takes longer than a test may.
  process.env['PATH'] = await pathWithTools({ cacheDir: defaultCacheDir(), onProgress });
  if (rings.includes('kubelet')) {
    const parts = { cacheDir: defaultCacheDir(), onProgress };
    await ensureKubernetes(await ensureRootfs('node', parts), parts);
  }
  if (rings.includes('stores')) await ensureRootfs('ceph', { cacheDir: defaultCacheDir(), onProgress });
  if (rings.includes('stores')) await ensureAzurite({ cacheDir: defaultCacheDir(), onProgress });
  environment = await startEnvironment({
    dir,
    clusters: [
      { name: 'newer', etcdVersion: '3.5', nodes: ['cp1', 'cp2', 'cp3'], bastion: true },
      { name: 'older', etcdVersion: '3.4', nodes: ['cp1', 'cp2', 'cp3'], settings: 'environment' },
    ],
    onProgress,
  });
  exitCode = await runVitest(environment, chromium);
} catch (error) {
  console.error(error instanceof LocalPartsError ? error.message : error);
} finally {
  await environment?.stop();
}
const { passed, failed } = await countTests();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : exitCode);

async function runVitest(up: Environment, chromium: string): Promise<number> {
  const controlSocket = join(dir, 'control.sock');
  const description = join(dir, 'environment.json');
  const controlling = await serveControl(up, controlSocket);
  await writeFile(description, JSON.stringify(describe(up, chromium, controlSocket)));
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${resultsFile}`];
  const vitest = join(cloneDir, 'node_modules/vitest/vitest.mjs');
  const child = up.nodes.execInHub([process.execPath, vitest, 'run', ...rings, ...reporters], {
    env: { ...process.env, KEYTURN_TEST_ENV: description },
    cwd: cloneDir,
  });
  // Ctrl-C reaches vitest by itself; we stay to clean up.
  const stay = (): void => undefined;
  process.on('SIGINT', stay).on('SIGTERM', () => child.kill('SIGTERM'));
  const [code] = (await once(child, 'exit')) as [number | null];
  controlling.close();
  return code ?? 1;
}

/** What test/support/local-env.ts reads. */
function describe({ nodes, redis, s3, sftp }: Environment, chromium: string, controlSocket: string): object {
  const machine = (node: LocalNode) => ({
    name: node.name,
    address: node.address,
    hostKey: node.hostKey,
    inside: node.inside([]),
  });
  return {
    clusters: nodes.clusters.map((cluster) => ({
      name: cluster.name,
      etcdVersion: cluster.etcdVersion,
      nodes: cluster.nodes.map(machine),
      ...(cluster.bastion && { bastion: machine(cluster.bastion) }),
    })),
    ssh: nodes.ssh,
    hub: nodes.hub,
    redis: { url: redis.url },
    s3: { endpoint: s3.endpoint, ...S3_ACCESS },
    // Its methods are asked for by test/support/control.ts.
    sftp,
    cacheDir: defaultCacheDir(),
    controlSocket,
    chromium,
  };
}

async function countTests(): Promise<{ passed: number; failed: number }> {
  const text = await readFile(resultsFile, 'utf8').catch(() => '{}');
  const results = JSON.parse(text) as {
    numPassedTests?: number;
    numFailedTests?: number;
    numFailedTestSuites?: number;
  };
  // A file that could not be loaded has no tests to fail; it counts as one.
  const failed = results.numFailedTests ?? 0;
  return { passed: results.numPassedTests ?? 0, failed: failed > 0 ? failed : exitCode === 0 ? 0 : 1 };
}
