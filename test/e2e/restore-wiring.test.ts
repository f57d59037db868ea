/** A restore through the program's own wiring, without chat: asked for here, carried out by a bot's worker, told by its audit. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { parse } from 'yaml';
import { readAuditStore } from '../../src/adapters/audit/copies.ts';
import { readAuditFolder } from '../../src/adapters/audit/folder.ts';
import { auditTrail } from '../../src/adapters/audit/trail.ts';
import { catalogue } from '../../src/adapters/catalogue.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import { cronCalendar } from '../../src/adapters/cron.ts';
import { etcdClient } from '../../src/adapters/etcd/client.ts';
import { redisConnections, type RedisConnections } from '../../src/adapters/redis/connection.ts';
import { redisClusterLease } from '../../src/adapters/redis/lease.ts';
import { redisJobQueue } from '../../src/adapters/redis/queue.ts';
import { redisRestoreRequests } from '../../src/adapters/redis/restore-requests.ts';
import { redisScrubMemory } from '../../src/adapters/redis/scrub-memory.ts';
import { redisStepUpRecords } from '../../src/adapters/redis/step-up-records.ts';
import { noCodes } from '../../src/adapters/one-time-codes.ts';
import { detachedSteps } from '../../src/adapters/ssh/detached.ts';
import { sshShell } from '../../src/adapters/ssh/shell.ts';
import { buildCommands, type Commands } from '../../src/commands/index.ts';
import { parseConfig, type Config } from '../../src/config.ts';
import type { Person } from '../../src/domain/permission.ts';
import { KEEP_EVERYTHING } from '../../src/domain/retention.ts';
import { isOpen, type RestoreRequest } from '../../src/domain/restore-request.ts';
import type { AuditTrail, JobQueue, PeopleDirectory } from '../../src/ports.ts';
import { announceRequest } from '../../src/restore/announce.ts';
import { coderOf } from '../support/coder.ts';
import { clusterSection, eventually, startWorld, type Bot, type World } from '../support/bot.ts';
import { control, type Control } from '../support/control.ts';
import { somebody } from '../support/requests.ts';
import { silentLog } from '../jobs/world.ts';

let world: World;
let parts: Control;
let bot: Bot;
let commands: Commands;
const closing: (() => Promise<unknown>)[] = [];
const person = (handle: string): Person => somebody(world.workspace.ids.users[handle] ?? '');

beforeAll(async () => {
  world = await startWorld();
  parts = control(world.env.controlSocket);
  const id = (handle: string): string => world.workspace.ids.users[handle] ?? '';
  const people = { request: [id('ada')], approve: [id('linus'), id('grace')], operate: [id('ada')] };
  const clusters = [clusterSection(world.env, 'newer', { schedule: '0 3 * * *' })];
  // The first backup of a cluster is made at once.
  await parts.cluster('newer').etcdctl(['put', '/wiring/kept', 'before']);
  bot = await world.startBot({ clusters, more: { people } });
  commands = await commandsLike(world.configFile());
});

afterAll(async () => {
  for (const close of closing) await close();
  await world.close();
});

/** The commands as the bot itself builds them, on the same Redis, nodes, store and audit; people are who they say they are. */
async function commandsLike(file: string): Promise<Commands> {
  const parsed = parseConfig(parse(await readFile(file, 'utf8')), cronCalendar);
  if (!parsed.ok) throw new Error('the configuration is wrong');
  const { config } = parsed;
  const connections = redisConnections({ ...config.redis, password: undefined, log: silentLog });
  const queue = redisJobQueue(connections);
  const audit = auditTrail({ folder: config.audit.folder, store: world.store, clock: systemClock, log: silentLog });
  closing.push(
    () => queue.close(),
    () => connections.close(),
    () => audit.close(),
  );
  return buildCommands(depsOf(config, { connections, queue, audit }));
}

interface Opened {
  readonly connections: RedisConnections;
  readonly queue: JobQueue;
  readonly audit: AuditTrail;
}

function depsOf(config: Config, { connections, queue, audit }: Opened): Parameters<typeof buildCommands>[0] {
  const directory: PeopleDirectory = { person: async (user) => somebody(user) };
  const publish = async (): Promise<void> => undefined;
  return {
    clusters: config.clusters,
    people: config.people,
    command: '/etcd',
    etcd: etcdClient(sshShell({ bastions: [] }), { steps: detachedSteps() }),
    catalogue: catalogue([world.store], () => [world.store.name]),
    coder: coderOf(),
    stores: new Map([[world.store.name, world.store]]),
    queue,
    lease: redisClusterLease(connections),
    scrubMemory: redisScrubMemory(connections),
    calendar: cronCalendar,
    publish,
    clock: systemClock,
    log: silentLog,
    nonce: () => 'abc123',
    retentionOf: () => KEEP_EVERYTHING,
    requests: redisRestoreRequests(connections),
    directory,
    stepUp: { records: redisStepUpRecords(connections), codes: noCodes() },
    audit,
    auditCopies: {
      disk: { name: 'disk', read: () => readAuditFolder(config.audit.folder) },
      store: { name: 'store', read: () => readAuditStore(world.store) },
    },
    announce: (request) => announceRequest({ publish, queue }, request),
  };
}

describe('a restore', () => {
  let request: RestoreRequest;

  test('that two people approved is carried out by the worker: deleted keys are back, later ones are gone', async () => {
    onTestFailed(async () => console.log((await bot.log()).split('\n').slice(-12).join('\n')));
    const etcdctl = (...argv: string[]) => parts.cluster('newer').etcdctl(argv);
    const valueOf = async (key: string) => (await etcdctl('get', key, '--print-value-only')).trim();
    const form = await eventually('the first snapshot', async () => {
      return (await commands.restoreForm(person('ada'), 'newer')).newest;
    });
    await etcdctl('put', '/wiring/later', 'after');
    await etcdctl('del', '/wiring/kept');
    const { id: snapshot } = form;
    const asked = await commands.requestRestore(person('ada'), {
      cluster: 'newer',
      snapshot: { cluster: 'newer', id: snapshot },
      mode: 'all-members',
      reason: 'a test of the wiring',
      onBehalfOf: undefined,
      breakGlass: false,
      confirmedSnapshotOf: undefined,
      origin: { channel: world.workspace.ids.channels['etcd-backups'] ?? '', user: person('ada').id },
    });
    if (asked.kind !== 'asked') throw new Error(asked.kind);
    request = asked.request;
    for (const handle of ['linus', 'grace']) {
      const click = { request: request.id, digest: request.digest, user: person(handle).id };
      expect(await commands.approveRestore(click)).toMatchObject({ kind: 'changed' });
    }
    const ended = await eventually(
      'the end of the restore',
      async () => {
        const now = await commands.readRequest(request.id);
        return now === undefined || isOpen(now.state) ? undefined : now;
      },
      240_000,
    );
    expect(ended.history.map(({ state, reason }) => [state, reason])).toContainEqual(['succeeded', undefined]);
    await parts.cluster('newer').waitHealthy();
    expect([await valueOf('/wiring/kept'), await valueOf('/wiring/later')]).toEqual(['before', '']);
  }, 300_000);

  test('is in the audit with each command, its exit code and how it ended, and the audit is whole', async () => {
    const { entries, problems, storeAway } = await commands.showAudit(person('grace'), request.id);
    expect({ problems, storeAway }).toEqual({ problems: [], storeAway: undefined });
    const types = entries.map(({ fact }) => fact.type);
    expect(types[0]).toBe('restore.plan');
    expect(types).toContain('restore.ended');
    const steps = request.plan.phases.flatMap((phase) => phase.steps.map(({ id }) => id));
    const begun = entries.flatMap(({ fact }) => (fact.type === 'restore.step-begun' ? [fact['step']] : []));
    expect(begun).toEqual(expect.arrayContaining(steps));
    const ended = entries.flatMap(({ fact }) => (fact.type === 'restore.step-ended' ? [fact['outcome']] : []));
    expect(new Set(ended)).toEqual(new Set(['done']));
  });

  test('that is the newest can not be cleaned up', async () => {
    await expect(commands.offerCleanup(person('ada'), request.id)).rejects.toMatchObject({ code: 'request.not-now' });
  });
});
