/**
 * Nodes go away, break or lie at each phase of a restore: it is undone or rolled back with the old cluster serving its old
 * data, or, where two nodes are gone, waits for a decision. What it says then is what helps.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFailed, test } from 'vitest';
import type { LocalNode } from '../../deploy/local/nodes/nodes.ts';
import type { Plan } from '../../src/domain/plan.ts';
import type { RestoreRequest } from '../../src/domain/restore-request.ts';
import { someOf } from './amount.ts';
import {
  apiServerHangs,
  damagedCopy,
  dataDiskFull,
  diskFull,
  etcdHangs,
  flippedBit,
  networkCut,
  onNode,
  otherTool,
  powerLoss,
  smallData,
  smallRecords,
  sshdStopped,
  strayEtcd,
  truncated,
  usualData,
  usualRecords,
  type Fault,
} from './restore-faults.ts';
import type { Moment } from './restore-moments.ts';
import { startStage, type RestoreBot, type RestoreStage } from './restore-stage.ts';
import { breachesOf, changeKeys, tidy, type State } from './restore-verdict.ts';

const END_MS = 240_000;
/** Two minutes of patience with a node are twelve seconds. */
const HASTE = 10;
/** The node that is struck. */
const CP2 = 'cp2';

let stage: RestoreStage;
let worker: RestoreBot;
let runs = 0;
let before: State;

beforeAll(async () => {
  // In a folder of its own, which can be put on a disk of its own.
  stage = await startStage('kubeadm', { dataDir: '/srv/etcd/data' });
});
afterAll(async () => stage.stop());
beforeEach(async () => {
  // Its clock may be hasty after the restore before.
  worker = await stage.startWorker();
  const started = worker;
  onTestFailed(async () => console.log((await started.log()).slice(-6_000)));
  before = await changeKeys(stage, (runs += 1));
});
afterEach(async () => {
  await worker.stop();
  await tidy(stage);
});

function node(name = CP2): LocalNode {
  return stage.cluster.node(name);
}

/** `swap`: before the step of that phase begins; `swap that runs`: its script was started just now. */
function momentAt(when: string): Moment {
  const phase = when.replace(' that runs', '');
  return { step: `${phase}.${CP2}`, doing: 'do', edge: phase === when ? 'before begun' : 'while it runs' };
}

interface Struck {
  readonly ended: RestoreRequest;
  /** How it ended, as the journal has it, and everything that it said of it to people. */
  readonly outcome: string;
  readonly said: string;
}

/** A restore struck by `fault` at `phase` on `nodes`, until it has ended or waits. */
async function struck(fault: Fault, phase: string, { haste = 1, nodes = [CP2] } = {}): Promise<Struck> {
  const { id } = await stage.ask({ stands: momentAt(phase), haste });
  const goOn = await stage.stands(id);
  for (const name of nodes) await fault.strike(stage, node(name));
  await goOn();
  return storyOf(id);
}

async function storyOf(id: string): Promise<Struck> {
  const ended = await stage.settled(id, END_MS);
  const events = (await stage.journal.read(id)).map(({ event }) => event);
  const end = events.find((event) => event.type === 'restore.ended');
  const warnings = events.flatMap((event) => (event.type === 'proven' ? event.warnings : []));
  const said = [ended.waiting?.reason, end?.reason, ...warnings].filter(Boolean).join('\n');
  const outcome = end?.outcome ?? (ended.waiting === undefined ? 'open' : 'waits');
  console.log(`${outcome}. ${said}`);
  return { ended, outcome, said };
}

/** By those nodes alone: etcd takes a write, the API is ready, and the keys are those from before. */
async function oldServesOn(...names: readonly string[]): Promise<void> {
  const endpoints = names.map((name) => `https://${node(name).address}:2379`).join(',');
  const argv = stage.cluster
    .etcdctlArgv()
    .map((word) => (word.startsWith('--endpoints=') ? `--endpoints=${endpoints}` : word));
  const etcdctl = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await node(names[0]).exec([...argv, ...args]);
    if (code !== 0) throw new Error(stderr);
    return stdout.trim();
  };
  expect(await etcdctl('get', '/chaos/', '--prefix', '--print-value-only')).toBe(`${before.value}\n${before.value}`);
  await etcdctl('put', '/probe', before.value);
  for (const name of names) expect(await stage.cluster.api('/readyz', { node: name })).toMatchObject({ status: 200 });
}

/** What a person does who reads what was said: the script "Undo" of the named steps, in their order. */
async function followAdvice(plan: Plan, said: string): Promise<void> {
  const steps = /run there the script "Undo" of ([^\n]*)\.$/m.exec(said)?.[1]?.split(', then ') ?? [];
  const byId = new Map(plan.phases.flatMap(({ steps: all }) => all.map((step) => [step.id, step] as const)));
  for (const id of steps) {
    const step = byId.get(id);
    if (step?.undo === undefined) throw new Error(`there is nothing to undo in "${id}"`);
    await onNode(node(step.node), step.undo);
  }
}

const BEFORE_SWAP = ['check', 'fetch', 'prepare', 'stop-apiservers', 'stop-etcd', 'prove-stopped'];
const FROM_SWAP = ['swap', 'start-etcd', 'prove-healthy', 'start-apiservers', 'restart-caches', 'prove-serving'];

describe('one node goes away for good', () => {
  const GONE: readonly (readonly [Fault, string, string])[] = [
    ...BEFORE_SWAP.map((phase) => [networkCut, phase, 'undone'] as const),
    ...FROM_SWAP.map((phase) => [networkCut, phase, 'rolled-back'] as const),
    [networkCut, 'stop-etcd that runs', 'undone'],
    [networkCut, 'swap that runs', 'rolled-back'],
    [networkCut, 'start-etcd that runs', 'rolled-back'],
    ...BEFORE_SWAP.map((phase) => [sshdStopped, phase, 'undone'] as const),
    ...FROM_SWAP.map((phase) => [sshdStopped, phase, 'rolled-back'] as const),
  ];
  const named = GONE.map(([fault, phase, outcome]) => [fault.what, phase, outcome, fault] as const);

  test.each(someOf('nodes gone', named, 4))(
    '%s at %s: %s, the others serve the old data',
    async (_, phase, outcome, fault) => {
      try {
        const { ended, said, ...story } = await struck(fault, phase, { haste: HASTE });
        expect({ outcome: story.outcome, state: ended.state }).toEqual({ outcome, state: 'rolled-back' });
        expect(said).toContain(CP2);
        await oldServesOn('cp1', 'cp3');
        await fault.mend(stage, node());
        await followAdvice(ended.plan, said);
        expect(await breachesOf(stage, ended, before, [CP2])).toEqual([]);
      } finally {
        await fault.mend(stage, node());
      }
    },
  );
});

describe('one node is away for a moment', () => {
  const PHASES = ['fetch', 'stop-etcd', 'swap', 'start-apiservers'];
  test.each(someOf('nodes away', PHASES, 2))('at %s: it is waited for', async (phase) => {
    const { id } = await stage.ask({ stands: momentAt(phase) });
    const goOn = await stage.stands(id);
    await node().linkDown();
    try {
      await goOn();
      await new Promise((resolve) => setTimeout(resolve, 8_000));
    } finally {
      await node().linkUp();
    }
    const { ended, outcome } = await storyOf(id);
    expect(outcome).toBe('restored');
    expect(await breachesOf(stage, ended, before)).toEqual([]);
  });

  const UNPOWERED = ['prepare', 'swap', 'start-etcd'];
  test.each(someOf('nodes without power', UNPOWERED, 2))('without power at %s: restored, or back', async (phase) => {
    const { ended } = await struck(powerLoss, phase);
    expect(await breachesOf(stage, ended, before)).toEqual([]);
  });
});

describe('one node is broken', () => {
  /** In all but the last: there nothing is recorded any more. */
  const PHASES = [...BEFORE_SWAP, ...FROM_SWAP.slice(0, -1)];
  test.each(someOf('full disks', PHASES, 2))('its disk is full at %s: the others serve the old data', async (phase) => {
    await smallRecords(node());
    try {
      const { ended, said } = await struck(diskFull, phase);
      expect(ended.state).toBe('rolled-back');
      expect(said).toContain(`Make room on the disk of /var/lib/keyturn`);
      await oldServesOn('cp1', 'cp3');
      await diskFull.mend(stage, node());
      await followAdvice(ended.plan, said);
      expect(await breachesOf(stage, ended, before, [CP2])).toEqual([]);
    } finally {
      await usualRecords(node());
    }
  });

  test.each(someOf('full data disks', ['fetch', 'prepare', 'start-etcd'], 1))(
    "the disk of its etcd's data is full at %s: the others serve, and it is as before or restored",
    async (phase) => {
      await smallData(stage, node());
      try {
        const { ended, outcome, said } = await struck(dataDiskFull, phase);
        if (outcome !== 'restored') expect(said).toContain(CP2);
        if (phase !== 'start-etcd') expect(outcome).toBe('undone');
        if (outcome !== 'restored') await oldServesOn('cp1', 'cp3');
        await dataDiskFull.mend(stage, node());
        await followAdvice(ended.plan, said);
        expect(await breachesOf(stage, ended, before, [CP2])).toEqual([]);
      } finally {
        await dataDiskFull.mend(stage, node());
        await usualData(stage, node());
      }
    },
  );

  const HANGING = [
    [etcdHangs.what, etcdHangs, 'stop-etcd'],
    [apiServerHangs.what, apiServerHangs, 'stop-apiservers'],
  ] as const;
  test.each(HANGING)('%s when it is to be stopped: it is ended, and the restore goes on', async (_, fault, phase) => {
    const { ended, outcome } = await struck(fault, phase);
    expect(outcome).toBe('restored');
    expect(await breachesOf(stage, ended, before)).toEqual([]);
  });

  test('its copy of the snapshot is damaged after it was fetched: undone, nothing was stopped', async () => {
    const { ended, outcome, said } = await struck(damagedCopy, 'prepare');
    expect(outcome).toBe('undone');
    expect(said).toContain(CP2);
    const begun = (await stage.journal.read(ended.id)).map(({ event }) => 'step' in event && event.step);
    expect(begun).not.toContain(`stop-etcd.${CP2}`);
    expect(await breachesOf(stage, ended, before)).toEqual([]);
  });

  test('an etcd that nobody can stop is there before the swap: undone, and it is named', async () => {
    try {
      const { ended, outcome, said } = await struck(strayEtcd, 'prove-stopped');
      expect(outcome).toBe('undone');
      expect(said).toMatch(/cp2.*etcd/);
      expect(await breachesOf(stage, ended, before)).toEqual([]);
    } finally {
      await strayEtcd.mend(stage, node());
    }
  });

  test.each(someOf('other tools', ['check', 'prepare'], 1))(
    'its tool is another one at %s than was approved: undone',
    async (phase) => {
      try {
        const { ended, outcome, said } = await struck(otherTool, phase);
        expect(outcome).toBe('undone');
        expect(said).toContain(CP2);
        expect(await breachesOf(stage, ended, before)).toEqual([]);
      } finally {
        await otherTool.mend(stage, node());
      }
    },
  );
});

describe('the snapshot is not what its manifest says', () => {
  const cases = [flippedBit, truncated].map((fault) => [fault.what, fault] as const);

  test.each(someOf('bad snapshots', cases, 1))('%s: undone, nothing was stopped', async (_, fault) => {
    try {
      const { ended, outcome, said } = await struck(fault, 'fetch', { haste: HASTE });
      expect(outcome).toBe('undone');
      expect(said).toMatch(/restore (of )?another snapshot/);
      const begun = (await stage.journal.read(ended.id)).map(({ event }) => 'step' in event && event.step);
      expect(begun).not.toContain(`prepare.${CP2}`);
      expect(await breachesOf(stage, ended, before)).toEqual([]);
    } finally {
      await fault.mend(stage, node());
    }
  });
});

describe('two nodes go away', () => {
  const gone = [CP2, 'cp3'];

  const PHASES = ['swap', 'stop-etcd', 'prove-healthy', 'start-apiservers'];
  test.each(someOf('two nodes gone', PHASES, 1))(
    'at %s: it waits, says what to do, and a retry takes it back when they are there again',
    async (phase) => {
      const id = await waiting(phase);
      await stage.decide(id, 'retry');
      const ended = await untilEnded(id);
      expect(await breachesOf(stage, ended, before, gone)).toEqual([]);
      expect(ended.state).toBe('rolled-back');
    },
  );

  /** Mended, and not decided on yet. */
  async function waiting(phase: string): Promise<string> {
    try {
      const { ended, outcome, said } = await struck(networkCut, phase, { haste: HASTE, nodes: gone });
      expect(outcome).toBe('waits');
      for (const name of gone) expect(said).toContain(name);
      expect(said).toContain('Retry');
      expect(ended.waiting?.options).toEqual(['retry', 'give-up']);
      return ended.id;
    } finally {
      for (const name of gone) await node(name).linkUp();
    }
  }

  async function untilEnded(id: string): Promise<RestoreRequest> {
    for (const until = Date.now() + END_MS; ;) {
      const request = await stage.settled(id, END_MS);
      if (request.waiting === undefined || Date.now() > until) return request;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
});
