/** Owns the short answers: help, what was done with a request for a backup, and errors. Pure. */
import type { BackupAnswer } from '../../commands/request-backup.ts';
import type { VerifyAnswer } from '../../commands/request-verify.ts';
import type { HelpReport } from '../../commands/show-help.ts';
import type { Problem } from '../../domain/error.ts';
import { HOLDERS_OF } from '../../domain/permission.ts';
import { bold, code, context, join, lines, mrk, mention, message, plain, section } from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { runningPhrase } from './running.ts';

/** What this person may do, and in one line who may do the rest. */
export function helpView({ entries, clusters }: HelpReport): MessageView {
  const title = mrk`*Keyturn keeps etcd recoverable.* This is what you can type:`;
  const allowed = entries.filter((entry) => entry.allowed);
  const others = entries.filter((entry) => !entry.allowed);
  const commands = allowed.map(({ usage, summary }) => mrk`${code(usage)} – ${plain(summary)}`);
  const locked = others.map(({ usage, role }) => mrk`${code(usage)} 🔒 ${plain(HOLDERS_OF[role])} only`);
  const rest = locked.length === 0 ? [] : [mrk`Not for you: ${join(locked)}`];
  const names = clusters.map((c) => code(c));
  return message(join([title, ...commands, ...rest], '\n'), [
    section(title),
    ...lines(commands),
    ...rest.map(context),
    ...(names.length === 0 ? [] : [context(mrk`Clusters: ${join(names, ', ')}`)]),
  ]);
}

/** What the one who asked is told at once; the backup's own message follows in the channel. */
export function backupAnswerView(answer: BackupAnswer): MessageView {
  const line = answerLine(answer);
  return message(line, [section(line)]);
}

/** What the one who asked is told at once; the verification's own message follows in the channel. */
export function verifyAnswerView({ cluster, snapshot, isKnown }: VerifyAnswer): MessageView {
  const line = isKnown
    ? mrk`ℹ️ ${code(snapshot)} of ${bold(cluster)} was asked to be verified within this minute already; nothing more is started.`
    : mrk`🕓 Every copy of ${code(snapshot)} of ${bold(cluster)} will be read. The message tells how it goes.`;
  return message(line, [section(line)]);
}

function answerLine(answer: BackupAnswer): Mrkdwn {
  switch (answer.kind) {
    case 'queued':
      return mrk`🕓 A backup of ${bold(answer.cluster)} is queued. Its message tells how it goes.`;
    case 'known':
      return mrk`ℹ️ This backup of ${bold(answer.cluster)} was asked for again already; nothing more is started.`;
    case 'busy':
      return mrk`✋ ${bold(answer.cluster)} is busy, so nothing new is started: ${runningPhrase(answer.running)}. Ask again when it is done.`;
  }
}

/** `holders`: who has the right that was missing, to be asked instead. Only the one who asked sees this. */
export function problemView(problem: Problem, holders: readonly string[] = []): MessageView {
  const line = mrk`${problem.code === 'permission.denied' ? mrk`🔒` : mrk`⚠️`} ${plain(problem.message, 900)}`;
  const hint = plain(problem.hint, 900);
  const who = holders.length === 0 ? [] : [context(mrk`Who may: ${join(holders.slice(0, 20).map(mention), ', ')}`)];
  return message(join([line, hint], '\n'), [section(join([line, hint], '\n')), ...who]);
}
