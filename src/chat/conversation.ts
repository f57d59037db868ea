/** Owns what is answered to a typed command, a click and an opened Home tab; there is always an answer. No Slack runtime. */
import type { HomeView } from '@slack/types';
import { PermissionDenied } from '../commands/deps.ts';
import type { Commands } from '../commands/index.ts';
import type { Request } from '../commands/parse.ts';
import { KeyturnError, toProblem } from '../domain/error.ts';
import { ROLE_FOR } from '../domain/permission.ts';
import type { Action, Person, RoleHolders } from '../domain/permission.ts';
import type { Log, PeopleDirectory } from '../ports.ts';
import type { MessageView } from './blocks.ts';
import { backupAnswerView, helpView, problemView } from './views/answers.ts';
import { RETRY_ACTION } from './views/backup.ts';
import { CLUSTERS_PAGER, closedHomeView, clustersView, homeView } from './views/clusters.ts';
import { SNAPSHOTS_PAGER, snapshotsView } from './views/snapshots.ts';
import { statusView } from './views/status.ts';

/** Who speaks, and where, as Slack's payload says. */
export interface Speaker {
  readonly user: string;
  readonly channel: string;
}

export interface Click extends Speaker {
  readonly actionId: string;
  /** What the button carries. */
  readonly value: string;
}

/** `replace`: the message with the button becomes this; else it is a new one that only the clicker sees. */
export interface ClickAnswer {
  readonly view: MessageView;
  readonly replace: boolean;
}

/** None of these throws: what goes wrong is the answer. */
export interface Conversation {
  command(text: string, speaker: Speaker): Promise<MessageView>;
  click(click: Click): Promise<ClickAnswer>;
  home(user: string): Promise<HomeView>;
}

export interface ConversationOptions {
  readonly commands: Commands;
  readonly directory: PeopleDirectory;
  readonly people: RoleHolders;
  /** The slash command, e.g. `/etcd`. */
  readonly command: string;
  readonly log: Log;
  /** A short random id by which an internal error is found in the log. */
  readonly logId: () => string;
}

export function conversation(options: ConversationOptions): Conversation {
  return {
    async command(text, speaker) {
      try {
        return await obey(options, options.commands.parse(text), speaker);
      } catch (error) {
        return explain(options, error, { text, ...speaker });
      }
    },
    async click(click) {
      try {
        return await answerClick(options, click);
      } catch (error) {
        return { view: explain(options, error, click), replace: false };
      }
    },
    async home(user) {
      try {
        const report = await options.commands.showClusters(await actor(options, user, 'clusters'));
        return homeView(report, options.command);
      } catch (error) {
        return closedHomeView(explain(options, error, { user }).text);
      }
    },
  };
}

// ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function obey(options: ConversationOptions, request: Request, speaker: Speaker): Promise<MessageView> {
  const { commands, command } = options;
  const person = await actor(options, speaker.user, request.action);
  switch (request.action) {
    case 'help':
      return helpView(commands.showHelp(person));
    case 'clusters':
      return clustersView(await commands.showClusters(person), 0, command);
    case 'status': {
      const cluster = request.cluster ?? commands.onlyCluster;
      // Many clusters and none named: the overview says where to look.
      if (cluster === undefined) return clustersView(await commands.showClusters(person), 0, command);
      return statusView(await commands.showStatus(person, cluster));
    }
    case 'snapshots':
      return snapshotsView(await commands.listSnapshots(person, request.cluster), 0);
    case 'backup':
      return backupAnswerView(
        await commands.requestBackup(person, { cluster: request.cluster, channel: speaker.channel }),
      );
  }
}

/** Who acts. What changes something is decided on fresh facts: someone may have left the group a moment ago. */
async function actor(options: ConversationOptions, user: string, action: Action): Promise<Person> {
  const groups = Object.values(options.people)
    .flat()
    .filter((id) => id.startsWith('S'));
  const changesSomething = ROLE_FOR[action] !== 'anyone';
  const asked = ROLE_FOR[action] === 'anyone' && action !== 'help' ? [] : [...new Set(groups)];
  return options.directory.person(user, asked, changesSomething);
}

// ── Clicks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

async function answerClick(options: ConversationOptions, click: Click): Promise<ClickAnswer> {
  const handler = CLICKS[click.actionId];
  const value = parseValue(click.value);
  if (handler === undefined || value === undefined) throw gone();
  return handler(options, click, value);
}

type ClickHandler = (options: ConversationOptions, click: Click, value: ButtonValue) => Promise<ClickAnswer>;
type ButtonValue = Readonly<Record<string, unknown>>;

const CLICKS: Readonly<Record<string, ClickHandler>> = {
  [RETRY_ACTION]: retry,
  [`${CLUSTERS_PAGER}.previous`]: turnClusters,
  [`${CLUSTERS_PAGER}.next`]: turnClusters,
  [`${SNAPSHOTS_PAGER}.previous`]: turnSnapshots,
  [`${SNAPSHOTS_PAGER}.next`]: turnSnapshots,
};

async function retry(options: ConversationOptions, click: Click, value: ButtonValue): Promise<ClickAnswer> {
  const { operation, cluster } = value;
  if (typeof operation !== 'string' || typeof cluster !== 'string') throw gone();
  const person = await actor(options, click.user, 'backup');
  const request = { cluster, channel: click.channel, retryOf: operation };
  return { view: backupAnswerView(await options.commands.requestBackup(person, request)), replace: false };
}

async function turnClusters(options: ConversationOptions, click: Click, value: ButtonValue): Promise<ClickAnswer> {
  const report = await options.commands.showClusters(await actor(options, click.user, 'clusters'));
  return { view: clustersView(report, Number(value['page']), options.command), replace: true };
}

async function turnSnapshots(options: ConversationOptions, click: Click, value: ButtonValue): Promise<ClickAnswer> {
  const { cluster, page } = value;
  if (typeof cluster !== 'string') throw gone();
  const report = await options.commands.listSnapshots(await actor(options, click.user, 'snapshots'), cluster);
  return { view: snapshotsView(report, Number(page)), replace: true };
}

function parseValue(json: string): ButtonValue | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as ButtonValue) : undefined;
  } catch {
    return undefined;
  }
}

function gone(): KeyturnError {
  return new KeyturnError('command.invalid', 'This button does not work any more.', {
    hint: 'It is from an older version of Keyturn. Type the command again.',
  });
}

// ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The error as the one who asked sees it; what they can't use is in the log. */
function explain(options: ConversationOptions, error: unknown, asked: object): MessageView {
  const logId = options.logId();
  const problem = toProblem(error, logId);
  if (error instanceof KeyturnError) options.log.info({ ...asked, code: problem.code }, problem.message);
  else options.log.error({ ...asked, logId, err: error }, 'Internal error while answering');
  const role = error instanceof PermissionDenied ? error.role : 'anyone';
  return problemView(problem, role === 'anyone' ? [] : options.people[role]);
}
