import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { KeyturnError } from '../../src/domain/error.ts';
import { canBumpRevision } from '../../src/domain/etcd-commands.ts';
import { groupsOf, planDigest, type Phase, type PhaseName, type Plan, type Step } from '../../src/domain/plan.ts';
import { makeRestorePlan, stopLastOf } from '../../src/domain/restore-plan.ts';
import type { EtcdTool, NodeFacts, RestoreInput } from '../../src/domain/restore/facts.ts';
import { quote } from '../../src/domain/restore/shell.ts';
import { renderRunbook } from '../../src/domain/runbook.ts';
import { nodeFacts, pod, restoreInput, unit } from './restore-facts.ts';

vi.setConfig({ testTimeout: 60_000 });

// ── Every mix of layouts ─────────────────────────────────────────────────────────────────────────────────────────────

const hostile = fc.constantFrom(
  'plain',
  'with space',
  `it's "quoted"`,
  '$HOME',
  '`id`',
  'a\nb',
  '\\',
  '*',
  '-n',
  '%s#',
);

function tools(version: string, bumps: boolean): readonly EtcdTool[] {
  const [minor, patch] = [version.split('.')[1] ?? '', bumps ? '30' : '2'];
  const names = { '4': ['etcdctl'], '5': ['etcdctl', 'etcdutl'], '6': ['etcdctl', 'etcdutl'] }[minor] ?? [];
  return names.map((name, i) => ({
    name: name as EtcdTool['name'],
    version: `3.${minor}.${patch}`,
    path: `/opt/my tools/${name}`,
    from: 'node',
    sha256: String(i).repeat(64),
  }));
}

const layout = fc.record({
  etcd: fc.constantFrom('static-pod', 'systemd'),
  apiServer: fc.constantFrom('static-pod', 'systemd', 'none'),
  caches: fc.constantFrom('static-pod', 'systemd', 'none'),
  stop: fc.constantFrom('no', 'kubelet', 'kubelet-and-containers'),
  manifests: fc.constantFrom('one-by-one', 'folder'),
  cli: fc.constantFrom('crictl', 'ctr', 'docker', 'none'),
  data: fc.constantFrom('directory', 'mount'),
  wal: fc.constantFrom('none', 'below', 'directory', 'mount', 'mount-inside'),
  bumps: fc.boolean(),
  odd: hostile,
});
type Layout = typeof layout extends fc.Arbitrary<infer T> ? T : never;

function supervisorOf(kind: string, name: string): NodeFacts['scheduler'] {
  if (kind === 'none') return undefined;
  return kind === 'systemd' ? unit(name) : pod(name);
}

function laidOut(number: number, version: string, mix: Layout): NodeFacts {
  const plain = nodeFacts(number);
  const path = `/var/lib/${mix.odd}/etcd`;
  const separate = mix.wal === 'mount-inside' ? `${path}/wal` : `/wal/${mix.odd}`;
  const apiServer = supervisorOf(mix.apiServer, 'kube-apiserver');
  const outside = ['directory', 'mount', 'mount-inside'].includes(mix.wal);
  return {
    ...plain,
    etcd: {
      ...plain.etcd,
      supervisor: mix.etcd === 'systemd' ? unit(`etcd-${mix.odd}`) : pod('etcd'),
      memberName: `m${number} ${mix.odd}`,
      dataDir: path,
      walDir: mix.wal === 'none' ? undefined : mix.wal === 'below' ? `${path}/member/wal` : separate,
    },
    etcdVersion: version,
    dataDir: {
      ...plain.dataDir,
      path,
      isMountPoint: mix.data === 'mount',
      mountsInside: mix.wal === 'mount-inside' ? [separate] : [],
    },
    walDir: outside ? { ...plain.dataDir, path: separate, isMountPoint: mix.wal !== 'directory' } : undefined,
    apiServer: apiServer === undefined ? undefined : { supervisor: apiServer, port: 6443 },
    scheduler: supervisorOf(mix.caches, 'kube-scheduler'),
    controllerManager: supervisorOf(mix.caches, 'kube-controller-manager'),
    kubelet: { unit: 'kubelet.service', stop: mix.stop, manifests: mix.manifests },
    runtime: mix.cli === 'none' ? undefined : { cli: mix.cli, path: `/usr/bin/${mix.cli}` },
    tools: tools(version, mix.bumps),
  };
}

const inputs: fc.Arbitrary<RestoreInput> = fc
  .record({
    version: fc.constantFrom('3.4.23', '3.5.16', '3.6.1'),
    mode: fc.constantFrom('all-members' as const, 'one-member' as const),
    nodes: fc.array(layout, { minLength: 1, maxLength: 5 }),
    lives: fc.boolean(),
  })
  .map(({ version, mode, nodes, lives }) => {
    const facts = nodes.map((mix, i) =>
      laidOut(i + 1, version, mode === 'one-member' && mix.wal.startsWith('mount') ? { ...mix, wal: 'none' } : mix),
    );
    const input = restoreInput({ mode, nodes: facts });
    return lives ? input : { ...input, status: undefined, liveRevision: undefined };
  });

function everyPlan(check: (plan: Plan, input: RestoreInput) => void, numRuns = 60): void {
  fc.assert(
    fc.property(inputs, (input) => check(makeRestorePlan(input), input)),
    { numRuns },
  );
}

function phaseOf(plan: Plan, name: PhaseName): Phase | undefined {
  return plan.phases.find((phase) => phase.name === name);
}

function nodesOf(plan: Plan, name: PhaseName): readonly string[] {
  return (phaseOf(plan, name)?.steps ?? []).map(({ node }) => node);
}

const place = (plan: Plan, name: PhaseName): number => plan.phases.findIndex((phase) => phase.name === name);

function textsOf(step: Step): readonly string[] {
  const main = step.action.kind === 'script' ? [step.action.script] : [];
  return [...main, step.done ?? '', step.undo ?? ''].filter((text) => text !== '');
}

// ── Laws ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('every member is touched exactly once in each phase that is about all members', () => {
  const forAll = ['check', 'prepare', 'stop-etcd', 'prove-stopped', 'swap', 'prove-healthy'] as const;
  everyPlan((plan, { nodes }) => {
    const all = nodes.map(({ node }) => node).sort();
    for (const name of forAll) expect([...nodesOf(plan, name)].sort()).toEqual(all);
    for (const { steps } of plan.phases) expect(new Set(steps.map(({ node }) => node)).size).toBe(steps.length);
  });
});

test('every member is started exactly once, and only those that have the snapshot start together', () => {
  everyPlan((plan, { nodes, mode }) => {
    expect([...nodesOf(plan, 'start-etcd'), ...nodesOf(plan, 'join-members')]).toEqual(nodes.map(({ node }) => node));
    expect(nodesOf(plan, 'start-etcd')).toEqual(nodesOf(plan, 'fetch'));
    expect(nodesOf(plan, 'start-etcd')).toHaveLength(mode === 'one-member' ? 1 : nodes.length);
    expect(phaseOf(plan, 'join-members')?.order ?? 'in-turn').toBe('in-turn');
  });
});

test('no etcd starts and no data are swapped before all are stopped and that is proven', () => {
  everyPlan((plan) => {
    expect(plan.phases.map(({ name }) => name)).toEqual([...new Set(plan.phases.map(({ name }) => name))]);
    const order = ['fetch', 'prepare', 'stop-etcd', 'prove-stopped', 'swap', 'start-etcd', 'prove-healthy'] as const;
    const places = order.map((name) => place(plan, name));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    const starts = plan.phases.slice(0, place(plan, 'swap')).flatMap(({ steps }) => steps);
    for (const { action } of starts) {
      if (action.kind === 'script') expect(action.script).not.toMatch(/systemctl start|^move_back|^folder_back/m);
    }
  });
});

test('every kube-apiserver is stopped before the first etcd and started after the last is proven healthy', () => {
  everyPlan((plan, { nodes }) => {
    const servers = nodes.filter(({ apiServer }) => apiServer !== undefined).map(({ node }) => node);
    expect(nodesOf(plan, 'stop-apiservers')).toEqual(expect.arrayContaining(servers));
    expect(nodesOf(plan, 'start-apiservers')).toEqual(nodesOf(plan, 'stop-apiservers'));
    expect(nodesOf(plan, 'prove-serving')).toEqual(servers);
    if (servers.length === 0) return;
    expect(place(plan, 'stop-apiservers')).toBeLessThan(place(plan, 'stop-etcd'));
    expect(place(plan, 'start-apiservers')).toBeGreaterThan(place(plan, 'prove-healthy'));
  });
});

function lastGroup(plan: Plan, name: PhaseName): readonly string[] {
  const phase = phaseOf(plan, name);
  return (phase === undefined ? [] : groupsOf(phase)).at(-1)?.map(({ node }) => node) ?? [];
}

test('the leader is stopped last and alone, unless another node is to be', () => {
  everyPlan((plan, input) => {
    if (input.status === undefined || input.nodes.length < 2) return;
    expect(stopLastOf(plan)).toBe('cp2');
    expect(lastGroup(plan, 'stop-etcd')).toEqual(['cp2']);
    expect(stopLastOf(makeRestorePlan({ ...input, stopLast: 'cp1' }))).toBe('cp1');
  });
});

test('all nodes restore with one token and one bump, and none bumps where one can not', () => {
  everyPlan((plan, { nodes, mode }) => {
    const restoring = mode === 'one-member' ? nodes.slice(0, 1) : nodes;
    const can = restoring.every(({ tools: [tool] }) => canBumpRevision(tool?.version ?? ''));
    expect(plan.bumpRevision !== undefined).toBe(can);
    for (const { node, action } of phaseOf(plan, 'prepare')?.steps ?? []) {
      if (action.kind !== 'script' || !restoring.some((facts) => facts.node === node)) continue;
      expect(action.script).toContain(`--initial-cluster-token=${plan.token}`);
      expect(action.script.includes('--mark-compacted')).toBe(can);
      if (plan.bumpRevision !== undefined) expect(action.script).toContain(`--bump-revision=${plan.bumpRevision}`);
    }
  });
});

test('the same input gives the same digest; moving revisions, free space and process ids change nothing', () => {
  everyPlan((plan, input) => {
    const later: RestoreInput = {
      ...structuredClone(input),
      liveRevision: input.liveRevision === undefined ? undefined : input.liveRevision + 5000n,
      nodes: input.nodes.map((facts) => ({
        ...facts,
        etcd: { ...facts.etcd, pid: 4242 },
        dataDir: { ...facts.dataDir, freeBytes: facts.dataDir.freeBytes - 4096 },
      })),
    };
    expect(planDigest(makeRestorePlan(later))).toBe(planDigest(plan));
  });
});

test('any changed command, order or fact that people approve gives another digest', () => {
  everyPlan((plan, input) => {
    const digest = planDigest(plan);
    plan.phases.forEach((phase, p) => {
      phase.steps.forEach((step, s) => {
        for (const text of textsOf(step)) {
          const changed = JSON.parse(JSON.stringify(plan)) as { phases: { steps: Record<string, unknown>[] }[] };
          const copy = changed.phases[p]?.steps[s];
          if (copy === undefined) throw new Error('a step is missing in the copy');
          const swap = (value: unknown): unknown => (value === text ? `${text}#` : value);
          for (const key of ['done', 'undo']) copy[key] = swap(copy[key]);
          const action = copy['action'] as Record<string, unknown>;
          action['script'] = swap(action['script']);
          expect(planDigest(changed as unknown as Plan)).not.toBe(digest);
        }
      });
    });
    for (const change of [{ token: 'other' }, { configVersion: 'other' }, { request: 'other' }]) {
      expect(planDigest(makeRestorePlan({ ...input, ...change }))).not.toBe(digest);
    }
  }, 15);
});

test('every step has an id of its own and waits longer than its script does by itself', () => {
  everyPlan((plan) => {
    const steps = plan.phases.flatMap((phase) => phase.steps.map((step) => ({ phase, step })));
    expect(new Set(steps.map(({ step }) => step.id)).size).toBe(steps.length);
    for (const { phase, step } of steps) {
      expect(step.id).toBe(`${phase.name}.${step.node}`);
      const waits = textsOf(step).map((text) =>
        [...text.matchAll(/^wait_for (\d+)/gm)].reduce((sum, [, seconds]) => sum + Number(seconds), 0),
      );
      expect(step.deadlineMs).toBeGreaterThan(Math.max(0, ...waits) * 1000);
    }
  });
});

test('what changes a node before the swap, the swap and every start can be taken back', () => {
  const undone = ['fetch', 'prepare', 'stop-apiservers', 'stop-etcd', 'swap', 'start-etcd', 'join-members'] as const;
  everyPlan((plan) => {
    for (const name of [...undone, 'start-apiservers'] as const) {
      for (const step of phaseOf(plan, name)?.steps ?? []) expect(step.undo).toBeDefined();
    }
  });
});

test('every script, with whatever names and paths, is read by sh without an error', () => {
  const scripts: string[] = [];
  everyPlan((plan) => {
    scripts.push(...plan.phases.flatMap(({ steps }) => steps.flatMap(textsOf)));
  });
  for (let i = 0; i < scripts.length; i += 200) {
    const text = scripts
      .slice(i, i + 200)
      .map((body) => `(\n${body})\n`)
      .join('');
    const { status, stderr } = spawnSync('sh', ['-n'], { input: text, encoding: 'utf8' });
    expect(`${String(status)}${stderr}`).toBe('0');
  }
});

test('a quoted value reaches the command as it was', () => {
  fc.assert(
    fc.property(fc.oneof(hostile, fc.string({ unit: 'binary' })), (value) => {
      if (value.includes('\0')) {
        expect(() => quote(value)).toThrow(TypeError);
        return;
      }
      const { stdout } = spawnSync('sh', ['-c', `printf %s. ${quote(value)}`], { encoding: 'utf8' });
      expect(stdout).toBe(`${value}.`);
    }),
    { numRuns: 100 },
  );
});

test('a runbook holds every command of the plan', () => {
  everyPlan((plan) => {
    const text = renderRunbook(plan);
    for (const body of plan.phases.flatMap(({ steps }) => steps.flatMap((step) => [step.undo, step.action]))) {
      if (typeof body === 'string') expect(text).toContain(body);
      else if (body?.kind === 'script') expect(text).toContain(body.script);
      else if (body?.kind === 'fetch') expect(text).toContain(body.sha256);
    }
    expect(text).toContain(planDigest(plan));
  });
});

test('an input that can not be planned is refused with advice, never with a bug', () => {
  const broken = fc.record({
    input: inputs,
    nodes: fc.func(fc.boolean()),
    change: fc.constantFrom<Partial<NodeFacts>>(
      { tools: [] },
      { peerUrls: [] },
      { kubelet: undefined },
      { etcdVersion: 'devel' },
      { argv: [] },
      { dataDir: { path: 'relative', uid: 0, gid: 0, isMountPoint: false, mountsInside: [], freeBytes: 1e12 } },
      { dataDir: { path: '/d', uid: 0, gid: 0, isMountPoint: false, mountsInside: ['/d/member'], freeBytes: 1e12 } },
    ),
  });
  fc.assert(
    fc.property(broken, ({ input, nodes, change }) => {
      const changed = input.nodes.map((facts, i) => (nodes(i) ? { ...facts, ...change } : facts));
      try {
        makeRestorePlan({ ...input, nodes: changed });
      } catch (error) {
        expect(error).toBeInstanceOf(KeyturnError);
        expect((error as KeyturnError).code).toMatch(/^plan\./);
        expect((error as KeyturnError).hint).not.toBe('');
      }
    }),
    { numRuns: 60 },
  );
});
