/** Owns what is answered to all that people do in Slack; there is always an answer. No Slack runtime. */
import type { HomeView, ModalView, PlainTextOption } from '@slack/types';
import type { WaitingRequest } from '../commands/list-approvals.ts';
import type { Request } from '../commands/parse.ts';
import { actor, explain, gone, parseValue, problemOf, textOf } from './asking.ts';
import type { CarriedValue, Speaker, TalkOptions } from './asking.ts';
import type { MessageView } from './blocks.ts';
import { buildBooks } from './books.ts';
import { answerDialogClick, answerForm, answerSearch } from './dialog-talk.ts';
import type { DialogClick, Search } from './dialog-talk.ts';
import type { Submission, SubmissionAnswer } from './form-answer.ts';
import { answerRetention, RETENTION_CLICKS } from './retention-talk.ts';
import { obeyRestore, RESTORE_CLICKS } from './restore-talk.ts';
import type { Click, ClickAnswer, ClickHandler, RestoreTalkOptions } from './restore-talk.ts';
import { backupAnswerView, helpView, verifyAnswerView } from './views/answers.ts';
import { obeySnapshots, SNAPSHOT_CLICKS } from './snapshot-talk.ts';
import { RETRY_ACTION } from './views/backup.ts';
import { CLUSTERS_PAGER, closedHomeView, clustersView, homeView } from './views/clusters.ts';
import { statusView } from './views/status.ts';

/** None of these throws: what goes wrong is the answer. Undefined: a dialog says it, or nothing needs saying. */
export interface Conversation {
  command(text: string, speaker: Speaker): Promise<MessageView | undefined>;
  click(click: Click): Promise<ClickAnswer | undefined>;
  home(user: string): Promise<HomeView>;
  submit(form: Submission): Promise<SubmissionAnswer>;
  clickInDialog(click: DialogClick): Promise<ModalView | undefined>;
  search(search: Search): Promise<PlainTextOption[]>;
}

export function conversation(asked: TalkOptions): Conversation {
  const options = { ...asked, books: buildBooks(asked) };
  return {
    async command(text, speaker) {
      try {
        return await obey(options, options.commands.parse(text), speaker);
      } catch (error) {
        return explain(options, error, { text, user: speaker.user, channel: speaker.channel });
      }
    },
    async click(click) {
      try {
        return await answerClick(options, click);
      } catch (error) {
        const { actionId, value, user, channel } = click;
        return { view: explain(options, error, { actionId, value, user, channel }), replace: false };
      }
    },
    async home(user) {
      try {
        const report = await options.commands.showClusters(await actor(options, user, 'clusters'));
        return homeView(report, options.command, await openFor(options, user));
      } catch (error) {
        return closedHomeView(explain(options, error, { user }).text);
      }
    },
    submit: (form) => answerForm(options, form),
    clickInDialog: (click) => answerDialogClick(options, click),
    search: (search) => answerSearch(options, search),
  };
}

/** The clusters are worth showing without it. */
async function openFor(options: TalkOptions, user: string): Promise<readonly WaitingRequest[]> {
  try {
    return (await options.commands.listApprovals(user)).waiting;
  } catch (error) {
    problemOf(options, error, { user });
    return [];
  }
}

// ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function obey(options: RestoreTalkOptions, request: Request, speaker: Speaker): Promise<MessageView | undefined> {
  const { commands, command } = options;
  const who = (): ReturnType<typeof actor> => actor(options, speaker.user, request.action);
  switch (request.action) {
    case 'help':
      return helpView(commands.showHelp(await who()));
    case 'clusters':
      return clustersView(await commands.showClusters(await who()), 0, command);
    case 'status': {
      const cluster = request.cluster ?? commands.onlyCluster;
      // Many clusters and none named: the overview says where to look.
      if (cluster === undefined) return clustersView(await commands.showClusters(await who()), 0, command);
      return statusView(await commands.showStatus(await who(), cluster));
    }
    case 'snapshots':
    case 'hold':
    case 'release':
      return obeySnapshots(options, request, speaker);
    case 'retention':
      return answerRetention(options, request.cluster, speaker.user, 0);
    case 'backup':
      return backupAnswerView(
        await commands.requestBackup(await who(), { cluster: request.cluster, channel: speaker.channel }),
      );
    case 'verify': {
      const { cluster, snapshot } = request;
      return verifyAnswerView(
        await commands.requestVerify(await who(), { cluster, snapshot, channel: speaker.channel }),
      );
    }
    case 'approvals':
    case 'enrol':
      return obeyRestore(options, { action: request.action }, speaker);
    case 'restore':
      return obeyRestore(options, { action: 'restore', cluster: request.cluster }, speaker);
    case 'runbook':
    case 'audit':
    case 'cleanup':
      return obeyRestore(options, request, speaker);
  }
}

// ── Clicks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

async function answerClick(options: RestoreTalkOptions, click: Click): Promise<ClickAnswer | undefined> {
  const handler = CLICKS[click.actionId];
  const value = parseValue(click.value);
  if (handler === undefined || value === undefined) throw gone();
  return handler(options, click, value);
}

const CLICKS: Readonly<Record<string, ClickHandler<RestoreTalkOptions>>> = {
  ...RESTORE_CLICKS,
  ...RETENTION_CLICKS,
  ...SNAPSHOT_CLICKS,
  [RETRY_ACTION]: retry,
  [`${CLUSTERS_PAGER}.previous`]: turnClusters,
  [`${CLUSTERS_PAGER}.next`]: turnClusters,
};

async function retry(options: TalkOptions, click: Click, value: CarriedValue): Promise<ClickAnswer> {
  const [operation, cluster] = [textOf(value, 'operation'), textOf(value, 'cluster')];
  const person = await actor(options, click.user, 'backup');
  const request = { cluster, channel: click.channel, retryOf: operation };
  return { view: backupAnswerView(await options.commands.requestBackup(person, request)), replace: false };
}

async function turnClusters(options: TalkOptions, click: Click, value: CarriedValue): Promise<ClickAnswer> {
  const report = await options.commands.showClusters(await actor(options, click.user, 'clusters'));
  return { view: clustersView(report, Number(value['page']), options.command), replace: true };
}
