/** Owns how the one message of a verification looks, from the request to the word on each copy. Pure. */
import type { CheckedCopy, CopyVerdict } from '../../domain/copy-verdict.ts';
import type { Problem } from '../../domain/error.ts';
import type { VerifyMessage, VerifyPhase } from '../../domain/verify-message.ts';
import { bold, bytes, code, context, date, join, lines, mention, message, mrk, plain, section } from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { cause, withMoved, type Surroundings } from './backup.ts';

export function verifyView(state: VerifyMessage, surroundings: Surroundings = { movedFrom: undefined }): MessageView {
  return withMoved(VIEWS[state.phase.kind](state, state.phase as never), state.origin, surroundings);
}

type Phase<K extends VerifyPhase['kind']> = Extract<VerifyPhase, { kind: K }>;

const VIEWS: { readonly [K in VerifyPhase['kind']]: (state: VerifyMessage, phase: Phase<K>) => MessageView } = {
  queued: (state) => oneLine(state, mrk`🕓`, mrk`verification · queued`),
  reading: readingView,
  ended: endedView,
  failed: failedView,
};

function readingView(state: VerifyMessage, { copies, now }: Phase<'reading'>): MessageView {
  const at = copies.findIndex(({ store }) => store === now?.store);
  const size = copies[at]?.size;
  const where =
    now === undefined || size === undefined
      ? mrk`begins with ${code(copies[0]?.store ?? '')}`
      : mrk`${code(now.store)} · ${bytes(now.bytes)} of ${bytes(size)} · copy ${at + 1} of ${copies.length}`;
  return oneLine(state, mrk`🔎`, mrk`verification · reading ${where}`);
}

function endedView(state: VerifyMessage, { copies, adoptedAs }: Phase<'ended'>): MessageView {
  const whole = copies.filter(({ verdict }) => verdict.kind === 'whole').length;
  const isBad = copies.some(({ verdict }) => BAD.has(verdict.kind));
  const sign = whole === copies.length ? mrk`✅` : isBad ? mrk`❌` : mrk`⚠️`;
  const line = mrk`${sign} ${title(state)} · verification · ${whole} of ${copies.length} copies whole`;
  const details = copies.map(copyLine);
  const adopted =
    adoptedAs === undefined
      ? []
      : [
          mrk`📥 Keyturn has made a manifest for it: it counts as ${code(adoptedAs)} from here on, and can be restored.`,
        ];
  return message(join([line, ...details, ...adopted], '\n'), [
    section(line),
    ...lines(details),
    ...adopted.map((each) => section(each)),
    context(asked(state)),
  ]);
}

function failedView(state: VerifyMessage, { problem }: Phase<'failed'>): MessageView {
  const line = mrk`⚠️ ${title(state)} · verification · nothing could be said of it`;
  const why = cause(problem);
  return message(join([line, why], '\n'), [section(line), section(why), context(asked(state))]);
}

function oneLine(state: VerifyMessage, sign: Mrkdwn, what: Mrkdwn): MessageView {
  const line = mrk`${sign} ${title(state)} · ${what}`;
  return message(line, [section(line), context(asked(state))]);
}

// ── Phrases ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function title({ cluster, snapshot }: VerifyMessage): Mrkdwn {
  return mrk`${bold(cluster)} · ${code(snapshot)}`;
}

function asked({ origin, at }: VerifyMessage): Mrkdwn {
  return join([origin === undefined ? undefined : mrk`asked by ${mention(origin.user)}`, date(at)]);
}

function copyLine({ store, verdict, markProblem }: CheckedCopy): Mrkdwn {
  const mark =
    markProblem === undefined ? undefined : mrk`_This could not be written to the store:_ ${why(markProblem)}`;
  return join([mrk`${SIGNS[verdict.kind]} ${code(store)}: ${said(verdict, markProblem === undefined)}`, mark], '\n');
}

const BAD: ReadonlySet<CopyVerdict['kind']> = new Set(['damaged', 'disputed', 'refused']);

const SIGNS: Readonly<Record<CopyVerdict['kind'], Mrkdwn>> = {
  whole: mrk`✅`,
  damaged: mrk`❌`,
  disputed: mrk`❌`,
  refused: mrk`❌`,
  missing: mrk`⚪`,
  unknown: mrk`⚠️`,
};

function said(verdict: CopyVerdict, isMarked: boolean): Mrkdwn {
  switch (verdict.kind) {
    case 'whole':
      return verdict.unopened === undefined
        ? mrk`whole`
        : mrk`every byte is as it was written; it was not opened. ${why(verdict.unopened)}`;
    case 'damaged':
      return mrk`*damaged*: ${plain(verdict.found, 600)}. ${isMarked ? mrk`It does not count any more.` : mrk`It could not be marked, so it still counts as good.`}`;
    case 'disputed':
      return mrk`*not to be trusted*: ${plain(verdict.found, 600)}, and nobody can tell which is right.`;
    case 'refused':
      return mrk`*not taken up*: ${plain(verdict.found, 600)}.`;
    case 'missing':
      return mrk`no copy there`;
    case 'unknown':
      return mrk`could not be read, which says nothing of the copy. ${why(verdict.problem)}`;
  }
}

function why({ message: what, hint }: Problem): Mrkdwn {
  return join([plain(what, 400), plain(hint, 300)], ' ');
}
