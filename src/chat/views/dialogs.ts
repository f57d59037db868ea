/** Owns the dialogs that any question can have: wait, what went wrong, what was done, and long texts by pages. Pure. */
import type { KnownBlock, ModalView } from '@slack/types';
import type { Problem } from '../../domain/error.ts';
import { join, mrk, pageOf, pager, plain, section } from '../blocks.ts';
import type { MessageView, Mrkdwn } from '../blocks.ts';
import { modal } from '../modal-blocks.ts';

export function waitDialog(title: string, text: Mrkdwn = mrk`Looking…`): ModalView {
  return modal(title, [section(mrk`⏳ ${text}`)]);
}

export function saidDialog(title: string, text: Mrkdwn): ModalView {
  return modal(title, [section(text)]);
}

/** An answer that would otherwise be a message. */
export function answerDialog(title: string, { blocks }: MessageView): ModalView {
  return modal(title, blocks);
}

/** What is wrong, above the fields of a dialog that is shown once more. */
export function problemText({ message, hint }: Problem): Mrkdwn {
  return join([mrk`⚠️ ${plain(message, 900)}`, plain(hint, 900)], '\n');
}

/** A text too long for one dialog, by pages. */
export interface Book {
  readonly title: string;
  readonly pages: readonly (readonly KnownBlock[])[];
}

export const BOOK_PAGER = 'pages';

/** What its buttons bring back, with the page that is wanted. */
export interface BookValue {
  readonly book: 'plan' | 'audit';
  readonly request: string;
  /** When it was opened: its pages are of that moment. */
  readonly at: string;
}

export function bookDialog({ title, pages }: Book, page: number, value: BookValue): ModalView {
  const shown = pageOf(pages, page, 1);
  return modal(title, [...shown.items.flat(), ...pager(BOOK_PAGER, shown.page, shown.pages, value)]);
}

/** Slack takes 100 blocks and 250,000 characters; people read less. */
const BLOCKS_A_PAGE = 80;
const CHARS_A_PAGE = 60_000;

/** Each of `chapters` begins a page of its own, and goes on for as many as it needs. */
export function pagesOf(chapters: readonly (readonly KnownBlock[])[]): KnownBlock[][] {
  return chapters.flatMap((blocks) => {
    const pages: KnownBlock[][] = [];
    let chars = Infinity;
    for (const block of blocks) {
      const size = JSON.stringify(block).length;
      const last = pages.at(-1);
      if (last === undefined || last.length >= BLOCKS_A_PAGE || chars + size > CHARS_A_PAGE) {
        pages.push([block]);
        chars = size;
      } else {
        last.push(block);
        chars += size;
      }
    }
    return pages;
  });
}
