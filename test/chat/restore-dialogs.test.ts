/** Dialogs around restores: how they look, that the worst data fits, and what is read out of a form. */
import { describe, expect, test } from 'vitest';
import { mrk } from '../../src/chat/blocks.ts';
import { auditBook } from '../../src/chat/views/audit.ts';
import { bookDialog } from '../../src/chat/views/dialogs.ts';
import type { Book } from '../../src/chat/views/dialogs.ts';
import { agreeForm, enrolCallView, haveCodesView, secretForm } from '../../src/chat/views/enrol.ts';
import { planBook } from '../../src/chat/views/plan.ts';
import { factsOf, isForeign, readForm, restoreFormView, snapshotOption } from '../../src/chat/views/restore-form.ts';
import { codeForm, denyForm } from '../../src/chat/views/review-forms.ts';
import type { RestoreForm } from '../../src/commands/restore-commands.ts';
import { emptyHead, nextLine } from '../../src/domain/audit.ts';
import type { AuditEntry, AuditFact } from '../../src/domain/audit.ts';
import { planDigest } from '../../src/domain/plan.ts';
import { NOW, policy } from '../support/requests.ts';
import { expectDialogFits, expectFits, expectHarmless, poison, seen, seenDialog } from './looks.ts';
import { lives, plan, requests, samplePlan } from './restore-samples.ts';
import { HOSTILE, HOSTILE_NAME, record } from './samples.ts';

const problem = { code: 'step-up.wrong-code', message: 'That code is wrong.', hint: 'Enter the newest one.' } as const;
const value = { request: requests.pending.id, digest: requests.pending.digest };
const turning = { book: 'plan', request: requests.pending.id, at: NOW.toISOString() } as const;

function form(change: Partial<RestoreForm> = {}): RestoreForm {
  return {
    cluster: 'prod-eu',
    mode: 'all-members',
    approvals: policy(),
    newest: record(),
    problems: [],
    open: undefined,
    ...change,
  };
}

const facts = factsOf(form(), 'C1', NOW);
const foreign = snapshotOption(record({ cluster: 'staging' }), 'prod-eu', NOW);

describe('the form', () => {
  test('shows what it takes to begin, the newest snapshot, and why nothing is touched yet', () => {
    const view = restoreFormView(facts);
    expectDialogFits(view);
    expect(seenDialog(view)).toMatchSnapshot();
    expect(facts.newest?.text.text).toBe('2026-11-21 06:00Z · 30 min ago · rev 88213 · 412 MB');
  });

  test('with codes, break-glass, a snapshot of another cluster and a store away', () => {
    const approvals = policy({ stepUp: 'totp', breakGlass: { threshold: 1 } });
    const away = { code: 'store.unreachable', message: 'Store offsite does not answer.', hint: 'Look at it.' } as const;
    const view = restoreFormView(factsOf(form({ approvals, problems: [away], newest: undefined }), 'C1', NOW), foreign);
    expectDialogFits(view);
    expect(seenDialog(view)).toMatchSnapshot();
  });

  test('fits with the longest and most hostile of everything', () => {
    const approvals = policy({ groups: Array.from({ length: 60 }, () => 'S'.padEnd(30, '0')) });
    const problems = Array.from({ length: 9 }, () => ({ code: 'internal', message: HOSTILE, hint: HOSTILE }) as const);
    const worst = factsOf(
      form({ cluster: 'c'.repeat(80), approvals, problems, newest: poison(record(), /takenAt|id/) }),
      'C1',
      NOW,
    );
    expectDialogFits(restoreFormView(worst, foreign));
    const long = snapshotOption(
      record({ id: `20261121T060000Z-${'9'.repeat(16)}`, cluster: 'c'.repeat(200) }),
      'x',
      NOW,
    );
    expect(long.value?.length).toBeLessThanOrEqual(75);
    expect(long.text.text.length).toBeLessThanOrEqual(75);
  });

  const chosen = (option: object | undefined) => ({ snapshot: { snapshot: { selected_option: option ?? null } } });
  const typed = (name: string, text: string) => ({ [name]: { [name]: { value: text } } });
  const own = facts.newest;

  test('is read as it was filled in', () => {
    expect(
      readForm(facts, {
        ...chosen(own),
        ...typed('reason', '  why  '),
        mode: { mode: { selected_option: { value: 'one-member' } } },
        behalf: { behalf: { selected_user: 'U1' } },
        'break-glass': { 'break-glass': { selected_options: [{ value: 'yes' }] } },
      }),
    ).toEqual({
      snapshot: { cluster: 'prod-eu', id: '20261121T060000Z-17' },
      mode: 'one-member',
      reason: 'why',
      onBehalfOf: 'U1',
      breakGlass: true,
      confirmedSnapshotOf: undefined,
    });
  });

  test('wants a snapshot and a reason that is more than blanks', () => {
    expect(readForm(facts, { ...chosen(undefined), ...typed('reason', 'why') })).toHaveProperty('errors.snapshot');
    expect(readForm(facts, { ...chosen(own), ...typed('reason', '  \n ') })).toHaveProperty('errors.reason');
  });

  test('wants the name of another cluster, which the option can not be made to stand for', () => {
    const filled = { ...chosen(foreign), ...typed('reason', 'why') };
    expect(isForeign(foreign)).toBe(true);
    expect(isForeign(own)).toBe(false);
    expect(readForm(facts, filled)).toEqual({ confirm: foreign });
    for (const wrong of ['', 'prod-eu', 'Staging']) {
      expect(readForm(facts, { ...filled, ...typed('confirm', wrong) })).toHaveProperty('errors.confirm');
    }
    expect(readForm(facts, { ...filled, ...typed('confirm', ' staging ') })).toMatchObject({
      snapshot: { cluster: 'staging' },
      confirmedSnapshotOf: 'staging',
    });
  });
});

describe('small forms', () => {
  const views = {
    deny: denyForm(value),
    'deny, once more': denyForm(value, problem),
    code: codeForm(value),
    'code, once more': codeForm(value, problem),
    'the secret': secretForm({ secret: 'JBSWY3DPEHPK3PXP', uri: 'otpauth://totp/Keyturn:ada?secret=JBSWY3DPEHPK3PXP' }),
    'codes are there': haveCodesView(problem),
    agree: agreeForm({ user: 'U0ADA00001', askedAt: NOW.toISOString() }),
  };

  test.each(Object.entries(views))('%s', (_, view) => {
    expectDialogFits(view);
    expect(seenDialog(view)).toMatchSnapshot();
  });

  test('the secret is in no metadata, which would come back with the form', () => {
    expect(views['the secret'].private_metadata).toBeUndefined();
  });

  test('the call to agree to new codes, before and after', () => {
    const call = {
      kind: 'enrol-anew',
      user: 'U0ADA00001',
      askedAt: NOW.toISOString(),
      approvers: ['S0APPROVE1'],
    } as const;
    for (const agreedBy of [undefined, 'U0BOB']) {
      const view = enrolCallView({ ...call, agreedBy });
      expectFits(view);
      expect(seen(view)).toMatchSnapshot();
    }
  });
});

function pages(book: Book): string[] {
  return book.pages.map((_, page) => {
    const view = bookDialog(book, page, turning);
    expectDialogFits(view);
    return seenDialog(view);
  });
}

function expectAllHarmless(book: Book): void {
  pages(book);
  for (const blocks of book.pages) expectHarmless({ text: mrk`-`, blocks });
}

describe('the plan in full', () => {
  test('has its digest, every node and every line of every script', () => {
    const all = pages(planBook(plan));
    expect(all[0]).toContain(planDigest(plan));
    expect(all[0]).toMatchSnapshot();
    const shown = all.join('\n').replaceAll('&gt;', '>').replaceAll('&lt;', '<').replaceAll('&amp;', '&');
    for (const { steps } of plan.phases) {
      for (const { action, done, undo } of steps) {
        for (const script of [action.kind === 'script' ? action.script : undefined, done, undo]) {
          for (const line of script?.split('\n') ?? []) expect(shown).toContain(line.trimEnd());
        }
      }
    }
  });

  test('of nine nodes, and of hostile scripts without end, keeps to the limits', () => {
    expect(pages(planBook(samplePlan(9))).length).toBeGreaterThan(12);
    const script = `${'```\n<!channel> & '.repeat(2000)}${'x'.repeat(20_000)}`;
    const worst = poison(plan, /^(predictedId|order|name|revision|mode)$/);
    const phases = worst.phases.map((phase) => ({
      ...phase,
      steps: phase.steps.map((step) => ({ ...step, action: { kind: 'script', script } as const, undo: script })),
    }));
    expectAllHarmless(planBook({ ...worst, phases }));
  });
});

describe('the audit', () => {
  const factsTold: readonly AuditFact[] = [
    { type: 'restore.plan', operation: plan.request, by: 'U0ASKER', digest: planDigest(plan), plan },
    ...lives['half way'].map((event) => ({ ...event })),
    ...lives.undone.map((event) => ({ ...event })),
    { type: 'something.new', operation: plan.request, by: 'U0BOB' },
  ];
  const entries = factsTold.map((fact, i): AuditEntry => {
    const { line } = nextLine({ ...emptyHead('c1'), seq: i }, fact, NOW);
    return JSON.parse(line) as AuditEntry;
  });
  const whole = { entries, request: requests.undone, problems: [], storeAway: undefined };

  test('has each command in order, with node, exit code and the end of what it printed', () => {
    const all = pages(auditBook(whole));
    expect(all.join('\n')).toMatchSnapshot();
  });

  test('says loudly when it is not whole, and what is missing', () => {
    const away = { code: 'store.unreachable', message: 'ceph does not answer.', hint: 'Try again.' } as const;
    const [first] = pages(
      auditBook({ entries: [], request: undefined, problems: ['Chain c1 is broken.'], storeAway: away }),
    );
    expect(first).toMatchSnapshot();
  });

  test('of entries that hold anything at all keeps to the limits', () => {
    const odd: AuditFact[] = [
      ...['restore.changed', 'restore.step-begun', 'restore.step-ended', 'restore.ended', 'restore.plan'].flatMap(
        (type) => [
          { type },
          { type, request: 7, history: 'x', node: [], output: 'o'.repeat(300_000), script: null, report: 'no' },
          {
            type,
            node: HOSTILE,
            step: HOSTILE,
            output: HOSTILE.repeat(90),
            script: HOSTILE.repeat(90),
            by: HOSTILE_NAME,
          },
        ],
      ),
      { type: HOSTILE },
    ];
    const many = Array.from({ length: 60 }, () => odd).flat();
    const book = auditBook({
      ...whole,
      entries: many.map((fact) => ({ ...(entries[0] as AuditEntry), fact })),
      problems: Array.from({ length: 90 }, () => HOSTILE),
    });
    expect(book.pages.length).toBeGreaterThan(1);
    expectAllHarmless(book);
  });

  test('is harmless in every line', () => {
    expectAllHarmless(
      auditBook({ ...whole, entries: entries.map((entry) => ({ ...entry, fact: poison(entry.fact) })) }),
    );
  });
});
