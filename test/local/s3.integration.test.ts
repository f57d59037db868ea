/** Holds the local S3 server to what the local default promises: it starts fast, keeps its data, and leaves nothing behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { servicesRootfs, startTestS3 } from '../adapters/stores/swift.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { s3Store } from '../../src/adapters/stores/s3.ts';

/** Processes whose command line or mounts name the folder. */
async function tracesOf(dir: string): Promise<string[]> {
  const name = basename(dir);
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '');
    if (command.includes(name) || mounts.includes(name))
      found.push(`${pid} ${command.replaceAll('\0', ' ').slice(0, 80)}`);
  }
  return found;
}

async function untilNone(dir: string): Promise<string[]> {
  for (let tries = 0; tries < 50; tries += 1) {
    if ((await tracesOf(dir)).length === 0) return [];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return tracesOf(dir);
}

test('data outlive a power cut', async () => {
  const s3 = await startTestS3();
  try {
    const store = s3Store(s3.options, systemClock);
    await store.put('prod/a', Buffer.from('kept'));
    await s3.kill9();
    await s3.restart();
    expect(Buffer.from(await store.get('prod/a')).toString()).toBe('kept');
  } finally {
    await s3.remove();
  }
});

test('a server whose starter is killed leaves no process and no mount', async () => {
  const rootfs = await servicesRootfs();
  const dir = await mkdtemp(join(tmpdir(), 'keyturn-s3-'));
  const program = `
    import { startS3 } from '${new URL('../../deploy/local/services/s3.ts', import.meta.url).href}';
    const keys = { accessKey: 'a:b', secretKey: 'secret', bucket: 'bucket' };
    const port = 20000 + Math.floor(Math.random() * 10000);
    await startS3({ dir: ${JSON.stringify(dir)}, rootfs: ${JSON.stringify(rootfs)}, port, ...keys });
    console.log('up');
    setInterval(() => undefined, 1000);
  `;
  const tsx = new URL('../../node_modules/tsx/dist/loader.mjs', import.meta.url).href;
  const starter = spawn(process.execPath, ['--import', tsx, '--input-type=module', '-e', program]);
  const ended = once(starter, 'exit');
  await Promise.race([once(starter.stdout, 'data'), ended]);
  const running = await tracesOf(dir);
  starter.kill('SIGKILL');
  await ended;
  expect(running.length).toBeGreaterThan(4);
  expect(await untilNone(dir)).toEqual([]);
  await rm(dir, { recursive: true });
});
