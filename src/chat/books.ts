/** Owns long texts while somebody reads them: looked up when they are opened, and turned page by page from memory. */
import type { ModalView } from '@slack/types';
import { shared } from '../commands/deps.ts';
import { actor } from './asking.ts';
import type { TalkOptions } from './asking.ts';
import { auditBook } from './views/audit.ts';
import { bookDialog } from './views/dialogs.ts';
import type { Book, BookValue } from './views/dialogs.ts';
import { planBook } from './views/plan.ts';

/** How long a reader can turn pages without its being looked up again. */
const KEPT_MS = 10 * 60_000;

export type Books = (user: string, value: BookValue, page: number) => Promise<ModalView>;

/** Throws what the commands throw. */
export function buildBooks(options: TalkOptions): Books {
  const look = shared(
    options.clock,
    KEPT_MS,
    ({ user, value: { book, request, at } }: { readonly user: string; readonly value: BookValue }) =>
      JSON.stringify([user, book, request, at]),
    ({ user, value }) => WRITTEN[value.book](options, user, value.request),
  );
  return async (user, value, page) => bookDialog(await look({ user, value }), page, value);
}

type Writer = (options: TalkOptions, user: string, request: string) => Promise<Book>;

const WRITTEN: Readonly<Record<BookValue['book'], Writer>> = {
  plan: async (options, user, request) => {
    const shown = await options.commands.showPlan(await actor(options, user, 'approvals'), request);
    return planBook(shown.request.plan);
  },
  audit: async (options, user, request) =>
    auditBook(await options.commands.showAudit(await actor(options, user, 'audit'), request)),
};
