/** Owns how a plan is shown in full: every command of every node, by pages. Pure. */
import type { KnownBlock } from '@slack/types';
import type { Phase, Plan, PlannedMember, Step } from '../../domain/plan.ts';
import { planDigest } from '../../domain/plan.ts';
import {
  bytes,
  code,
  codeBlocks,
  context,
  date,
  duration,
  header,
  join,
  lines,
  mrk,
  plain,
  section,
} from '../blocks.ts';
import type { Mrkdwn } from '../blocks.ts';
import { pagesOf } from './dialogs.ts';
import type { Book } from './dialogs.ts';
import { revisionText } from './restore-phrases.ts';

/** The first page says what it comes to; each phase has pages of its own. */
export function planBook(plan: Plan): Book {
  return { title: 'Plan', pages: pagesOf([summary(plan), ...plan.phases.map((phase, i) => chapter(phase, i + 1))]) };
}

function summary(plan: Plan): KnownBlock[] {
  const { snapshot, members, warnings, phases } = plan;
  return [
    section(mrk`*Restore of ${plain(plan.cluster, 80)}*, request ${code(plan.request)}`),
    ...lines([
      mrk`*Digest:* ${code(planDigest(plan))}`,
      mrk`*Snapshot:* ${code(snapshot.object.key, 300)} · ${bytes(snapshot.size)} · revision ${revisionText(snapshot.revision)}`,
      mrk`*Its sha256:* ${code(snapshot.sha256)}`,
      mrk`*Lost:* everything written after ${date(snapshot.takenAt)}`,
      mrk`*Token of the new cluster:* ${code(plan.token, 160)}`,
      mrk`*Revisions are raised by:* ${plan.bumpRevision === undefined ? mrk`nothing` : plain(plan.bumpRevision)}`,
    ]),
    ...lines([mrk`*Members afterwards:*`, ...members.map(memberLine)]),
    ...lines(warnings.map((warning) => mrk`⚠️ ${plain(warning, 600)}`)),
    ...lines([
      mrk`*Phases*, each with a page of its own:`,
      ...phases.map(({ title, steps }, i) => mrk`${i + 1}. ${plain(title, 80)} · ${nodesOf(steps)}`),
    ]),
  ];
}

function memberLine({ name, node, peerUrls, predictedId, oldData }: PlannedMember): Mrkdwn {
  const id =
    predictedId === undefined ? mrk`an id that etcd chooses` : mrk`id ${code(BigInt(predictedId).toString(16))}`;
  const old =
    oldData.length === 0
      ? undefined
      : mrk`old data in ${join(
          oldData.map((path) => code(path, 200)),
          ', ',
        )}`;
  return join([
    mrk`• ${code(name)} on ${code(node)}`,
    join(
      peerUrls.map((url) => code(url)),
      ', ',
    ),
    id,
    old,
  ]);
}

function nodesOf(steps: readonly Step[]): Mrkdwn {
  return join(
    steps.slice(0, 12).map(({ node }) => plain(node, 60)),
    ', ',
  );
}

const HOW: Readonly<Record<Phase['order'], Mrkdwn>> = {
  together: mrk`All of them side by side`,
  'in-turn': mrk`One after the other, in this order`,
  'last-alone': mrk`Side by side, and the last one when the others are done`,
};

function chapter({ title, order, steps }: Phase, number: number): KnownBlock[] {
  const how = HOW[order];
  return [
    header(`${number}. ${title}`),
    context(mrk`${how}; it goes on when all are done.`),
    ...steps.flatMap(stepBlocks),
  ];
}

function stepBlocks({ node, title, action, done, undo, deadlineMs }: Step): KnownBlock[] {
  const line = mrk`*${plain(node, 80)}* · ${plain(title, 120)} · within ${duration(deadlineMs)}`;
  return [
    section(line),
    ...actionBlocks(action),
    ...scriptBlocks(mrk`It needs no doing when this exits with 0:`, done),
    ...scriptBlocks(mrk`It is taken back with this:`, undo),
  ];
}

function actionBlocks(action: Step['action']): KnownBlock[] {
  switch (action.kind) {
    case 'script':
      return codeBlocks(action.script).map(section);
    case 'fetch':
      return [
        section(
          mrk`The snapshot goes to ${code(action.path, 300)}: ${bytes(action.size)}, checked there against its size and sha256.`,
        ),
      ];
    case 'proof':
      return [
        section(
          action.proves === 'healthy'
            ? mrk`Only looked at: the member answers and has its id; all have one cluster id, one revision and one hash.`
            : mrk`Only looked at: kube-apiserver on port ${action.port} says ok, nodes are listed, the pods of kube-system run.`,
        ),
      ];
  }
}

function scriptBlocks(title: Mrkdwn, script: string | undefined): KnownBlock[] {
  return script === undefined ? [] : [context(title), ...codeBlocks(script).map(section)];
}
