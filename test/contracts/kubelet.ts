/** What a kubelet has to keep to on a node, as far as restores lean on it: the real one, and the local nodes' stand-in. */
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ExecOutput } from '../../deploy/local/nodes/machine.ts';
import { supervisorOf } from '../../src/domain/etcd-commands.ts';

export interface KubeletUnderTest {
  /** Runs `argv` on the node as root. */
  exec(argv: readonly string[]): Promise<ExecOutput>;
  readonly unit: string;
  readonly manifestsDir: string;
  /** A manifest whose container has sh and sleep, and may write to /tmp of the node. */
  manifest(name: string, command: readonly string[], options?: { readonly graceSeconds?: number }): string;
}

/** The real one hears of a file at once and of an ended process within a second; starting a container takes it two. */
const SOON = { timeout: 8_000, interval: 100 };
/** One that starts looks for other container runtimes first, for five seconds, and knows its containers after that. */
const AFTER_START = { timeout: 30_000, interval: 100 };

/** One that waits with a restart looks again only every ten seconds or so. */
const AFTER_BACK_OFF = { timeout: 30_000, interval: 100 };

export function kubeletContract(setUp: () => Promise<KubeletUnderTest>): void {
  let under: KubeletUnderTest;

  beforeAll(async () => {
    under = await setUp();
  });

  afterEach(async () => {
    await sh(`rm -f "$1"/test*.yaml "$1"/.test*`, under.manifestsDir);
    await said('systemctl', 'start', under.unit);
    for (const argv of used.splice(0)) await expect.poll(() => pidsOf(argv), { timeout: 40_000 }).toEqual([]);
  });

  const used: (readonly string[])[] = [];
  let numbers = 86_400;

  /** A command that nobody else runs, and that ends only when it is told to. */
  function fresh(): readonly string[] {
    numbers += 1;
    const argv = ['sleep', String(numbers)];
    used.push(argv);
    return argv;
  }

  async function said(...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await under.exec(argv);
    if (code !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`);
    return stdout;
  }

  function sh(script: string, ...args: readonly string[]): Promise<string> {
    return said('sh', '-c', script, 'sh', ...args);
  }

  /** As a person does: the file appears whole. */
  async function put(file: string, text: string): Promise<void> {
    await sh(`printf %s "$2" > "$1/.test.part" && mv "$1/.test.part" "$1/$3"`, under.manifestsDir, text, file);
  }

  async function remove(file: string): Promise<void> {
    await said('rm', `${under.manifestsDir}/${file}`);
  }

  async function pidsOf(argv: readonly string[]): Promise<readonly string[]> {
    const script = `for f in /proc/[0-9]*/cmdline; do
      [ "$(tr '\\0' '\\n' 2>/dev/null < "$f")" = "$1" ] && f=\${f#/proc/} && echo "\${f%/cmdline}"
    done; :`;
    return (await sh(script, argv.join('\n'))).split('\n').filter((line) => line !== '');
  }

  async function started(argv: readonly string[], within = SOON): Promise<string> {
    await expect.poll(() => pidsOf(argv), within).toHaveLength(1);
    return (await pidsOf(argv))[0] ?? '';
  }

  const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

  describe('a manifest', () => {
    test('that comes in is run with its own command line, in a cgroup that shows a static pod', async () => {
      const argv = fresh();
      await put('test.yaml', under.manifest('test', argv));
      const cgroup = await said('cat', `/proc/${await started(argv)}/cgroup`);
      expect(supervisorOf(cgroup, 'x')).toEqual({ kind: 'static-pod', manifest: 'x' });
    });

    test('that is taken out ends its process, and back in starts it again', async () => {
      const argv = fresh();
      const text = under.manifest('test', argv, { graceSeconds: 2 });
      await put('test.yaml', text);
      const first = await started(argv);
      await remove('test.yaml');
      await expect.poll(() => pidsOf(argv), SOON).toEqual([]);
      await put('test.yaml', text);
      expect(await started(argv)).not.toBe(first);
    });

    // The real one (1.20) starts the new process while the old one still ends; restores change no manifest in its place.
    test('that changes has its old process ended and a new one started', async () => {
      const [before, after] = [fresh(), fresh()];
      await put('test.yaml', under.manifest('test', before, { graceSeconds: 2 }));
      await started(before);
      await put('test.yaml', under.manifest('test', after));
      await started(after);
      await expect.poll(() => pidsOf(before), SOON).toEqual([]);
    });

    test('whose name begins with a dot is not looked at', async () => {
      const [hidden, shown] = [fresh(), fresh()];
      await put('.test-hidden.yaml', under.manifest('test-hidden', hidden));
      await put('test.yaml', under.manifest('test', shown));
      await started(shown);
      expect(await pidsOf(hidden)).toEqual([]);
    });

    test('that is no manifest keeps no other from being run', async () => {
      const argv = fresh();
      await put('test-broken.yaml', 'apiVersion: [');
      await put('test.yaml', under.manifest('test', argv));
      await started(argv);
    });
  });

  describe('a process', () => {
    test('that does not heed TERM is killed when its grace is over', async () => {
      const argv = ['sh', '-c', `trap '' TERM; while :; do sleep 1; done # ${fresh().join(' ')}`];
      await put('test.yaml', under.manifest('test', argv, { graceSeconds: 3 }));
      await started(argv);
      // A shell that was just started may not have set its trap yet.
      await wait(500);
      await remove('test.yaml');
      await wait(1_500);
      expect(await pidsOf(argv)).toHaveLength(1);
      await expect.poll(() => pidsOf(argv), SOON).toEqual([]);
    });

    test('that ended is started again at once; the next time only after ten seconds', async () => {
      const log = '/tmp/keyturn-kubelet-test';
      await said('rm', '-f', log);
      await put('test.yaml', under.manifest('test', ['sh', '-c', `echo started >> ${log}; sleep 0.3; exit 1`]));
      const starts = async (): Promise<number> => Number(await sh(`cat "$1" 2>/dev/null | wc -l`, log));
      await expect.poll(starts, SOON).toBe(2);
      await wait(6_000);
      expect(await starts()).toBe(2);
      await expect.poll(starts, AFTER_BACK_OFF).toBe(3);
    });
  });

  describe('a kubelet that is stopped', () => {
    test('ends nothing, not even what has no manifest any more, until it is started', async () => {
      const [stays, goes] = [fresh(), fresh()];
      await put('test-stays.yaml', under.manifest('test-stays', stays));
      await put('test-goes.yaml', under.manifest('test-goes', goes, { graceSeconds: 2 }));
      const [pidOfStays, pidOfGoes] = [await started(stays), await started(goes)];
      await said('systemctl', 'stop', under.unit);
      await remove('test-goes.yaml');
      await wait(2_500);
      expect(await pidsOf(stays)).toEqual([pidOfStays]);
      expect(await pidsOf(goes)).toEqual([pidOfGoes]);
      await said('systemctl', 'start', under.unit);
      await expect.poll(() => pidsOf(goes), AFTER_START).toEqual([]);
      expect(await pidsOf(stays)).toEqual([pidOfStays]);
    });

    test('starts nothing, and does not bring back what ends', async () => {
      const [runs, later] = [fresh(), fresh()];
      await put('test-runs.yaml', under.manifest('test-runs', runs));
      const pid = await started(runs);
      await said('systemctl', 'stop', under.unit);
      await put('test-later.yaml', under.manifest('test-later', later));
      await said('kill', pid);
      await expect.poll(() => pidsOf(runs), SOON).toEqual([]);
      await wait(1_500);
      expect([...(await pidsOf(runs)), ...(await pidsOf(later))]).toEqual([]);
      await said('systemctl', 'start', under.unit);
      await Promise.all([started(runs, AFTER_START), started(later, AFTER_START)]);
    });
  });
}
