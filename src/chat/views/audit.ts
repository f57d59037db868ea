/** Owns how the audit of one restore is shown: what was done, where, with which exit code and output. Pure. */
import type { KnownBlock } from '@slack/types';
import type { AuditReport } from '../../commands/restore-commands.ts';
import type { AuditEntry, AuditFact } from '../../domain/audit.ts';
import {
  code,
  codeBlocks,
  context,
  duration,
  join,
  lines,
  mention,
  mrk,
  plain,
  plural,
  section,
  truncate,
} from '../blocks.ts';
import type { Mrkdwn } from '../blocks.ts';
import { pagesOf, problemText } from './dialogs.ts';
import type { Book } from './dialogs.ts';
import { standingLine } from './restore-phrases.ts';

/** Characters of a script and of what it printed; all of it is in the audit itself. */
const SCRIPT_SHOWN = 2000;
const OUTPUT_SHOWN = 1500;
const LINES_SHOWN = 12;

export function auditBook(report: AuditReport): Book {
  const { entries } = report;
  return { title: 'Audit', pages: pagesOf([[...summary(report), ...entries.flatMap(entryBlocks)]]) };
}

function summary({ request, entries, problems, storeAway }: AuditReport): KnownBlock[] {
  const whole =
    problems.length === 0
      ? mrk`🔒 *The audit is whole:* every chain was checked from its first entry to its last.`
      : mrk`🚨 *The audit is not whole.* Run “keyturn audit verify”, and find out who could write there.`;
  const shown = problems.slice(0, LINES_SHOWN).map((problem) => mrk`• ${plain(problem, 400)}`);
  return [
    ...(request === undefined ? [] : [section(standingLine(request))]),
    ...lines([whole, ...shown]),
    ...(storeAway === undefined
      ? []
      : [section(mrk`${problemText(storeAway)}\nWhat only the store has is missing here.`)]),
    context(
      entries.length === 0
        ? mrk`Nothing is kept of it.`
        : mrk`${plural(entries.length, 'entry', 'entries')}, oldest first`,
    ),
  ];
}

function entryBlocks({ at, fact }: AuditEntry): KnownBlock[] {
  const tell = TOLD[fact.type] ?? anything;
  const { line, detail = [] } = tell(fact);
  return [section(mrk`${code(at.slice(0, 19).replace('T', ' '))} ${line}`), ...detail];
}

interface Told {
  readonly line: Mrkdwn;
  readonly detail?: readonly KnownBlock[];
}

/** Entries were written by this program, of whatever version: nothing in them is taken on trust. */
const TOLD: Readonly<Record<string, (fact: AuditFact) => Told>> = {
  'restore.plan': (fact) => ({ line: mrk`📋 the plan was made · ${digestOf(fact)} · asked by ${person(fact['by'])}` }),
  'restore.changed': changed,
  'restore.step-begun': (fact) => ({
    line: mrk`▶️ ${stepOf(fact)} · began`,
    detail: excerpt(text(fact, 'script'), SCRIPT_SHOWN, 'beginning'),
  }),
  'restore.step-ended': stepEnded,
  'restore.turned': (fact) => ({
    line: mrk`↩️ turned: ${plain(text(fact, 'to'))} · ${plain(text(fact, 'reason'), 600)}`,
  }),
  'restore.waits': (fact) => ({ line: mrk`✋ could not begin: ${problemOf(fact)}` }),
  'restore.ended': (fact) => ({
    line: mrk`🏁 ended: ${plain(text(inner(fact, 'report'), 'outcome'))} ${plain(text(inner(fact, 'report'), 'reason'), 600)}`,
  }),
  'restore.cleaned': (fact) => ({ line: mrk`🧹 old data removed · asked by ${person(fact['by'])}` }),
};

function anything(fact: AuditFact): Told {
  const by = typeof fact['by'] === 'string' ? mrk` · by ${person(fact['by'])}` : mrk``;
  return { line: mrk`• ${plain(fact.type, 80)}${by}` };
}

/** What became of the request, and by whom: the last entry of its history says so. */
function changed(fact: AuditFact): Told {
  const history = inner(fact, 'request')['history'];
  const last: unknown = Array.isArray(history) ? history.at(-1) : undefined;
  const entry = isRecord(last) ? last : {};
  const by = typeof entry['by'] === 'string' ? person(entry['by']) : mrk`Keyturn`;
  const reason = text(entry, 'reason');
  return {
    line: join([
      mrk`🔑 ${plain(text(entry, 'action'), 40)} by ${by}`,
      mrk`now ${plain(text(entry, 'state'), 40)}`,
      reason === '' ? undefined : plain(reason, 600),
    ]),
  };
}

function stepEnded(fact: AuditFact): Told {
  const outcome = text(fact, 'outcome');
  const sign = outcome === 'done' || outcome === 'was-done' ? mrk`✅` : mrk`❌`;
  const exit = typeof fact['code'] === 'number' ? mrk`exit code ${fact['code']}` : undefined;
  const took = typeof fact['durationMs'] === 'number' ? duration(fact['durationMs']) : undefined;
  const problem = isRecord(fact['problem']) ? problemOf(fact) : undefined;
  return {
    line: join([mrk`${sign} ${stepOf(fact)}`, plain(outcome, 40), exit, took, problem]),
    detail: excerpt(text(fact, 'output'), OUTPUT_SHOWN, 'end'),
  };
}

function stepOf(fact: AuditFact): Mrkdwn {
  const undo = fact['doing'] === 'undo' ? mrk` (undo)` : mrk``;
  return mrk`*${plain(text(fact, 'node'), 80)}* · ${code(text(fact, 'step'), 120)}${undo}`;
}

/** Of a script its beginning says what it is, of an output its end how it went. */
function excerpt(all: string, most: number, part: 'beginning' | 'end'): KnownBlock[] {
  if (all.trim() === '') return [];
  if (all.length <= most) return codeBlocks(all).map(section);
  const cut = part === 'beginning' ? truncate(all, most) : `…${all.slice(-most).replace(/^[\udc00-\udfff]/, '')}`;
  return codeBlocks(cut).map(section);
}

function problemOf(fact: AuditFact): Mrkdwn {
  const problem = inner(fact, 'problem');
  return plain(`${text(problem, 'message')} ${text(problem, 'hint')}`, 800);
}

function digestOf(fact: AuditFact): Mrkdwn {
  return mrk`digest ${code(text(fact, 'digest'))}`;
}

function person(id: unknown): Mrkdwn {
  return typeof id === 'string' ? mention(id) : mrk`Keyturn`;
}

function inner(from: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> {
  const value = from[name];
  return isRecord(value) ? value : {};
}

function text(from: Readonly<Record<string, unknown>>, name: string): string {
  const value = from[name];
  return typeof value === 'string' ? value : '';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
