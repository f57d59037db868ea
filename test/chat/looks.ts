/** What views look like to people, and whether Slack would take them. */
import type { InputBlock, KnownBlock, ModalView } from '@slack/types';
import { expect } from 'vitest';
import {
  MESSAGE_TEXT_MAX,
  UPDATE_TEXT_MAX,
  validateMessage,
  validateView,
} from '../../deploy/local/workspace/limits.ts';
import type { MessageView } from '../../src/chat/blocks.ts';
import { HOSTILE, HOSTILE_NAME } from './samples.ts';

/** What a person sees, roughly: the texts of the blocks, a line each. */
export function seen(view: Pick<MessageView, 'blocks'>): string {
  return view.blocks
    .flatMap((block) => {
      if (block.type === 'header') return [`# ${block.text.text}`];
      if (block.type === 'section') return [block.text?.text ?? ''];
      if (block.type === 'context') return block.elements.map((e) => ('text' in e ? `  (${e.text})` : ''));
      if (block.type === 'input') return [`${block.label.text}: <${block.element.type}>${hintOf(block)}`];
      if (block.type !== 'actions') return ['---'];
      return [block.elements.map((e) => (e.type === 'button' ? `[${e.text.text}]` : '')).join(' ')];
    })
    .join('\n');
}

export function expectFits(view: MessageView): void {
  expect(validateMessage(view, {}, UPDATE_TEXT_MAX)).toEqual([]);
  expect(validateMessage(view, {}, MESSAGE_TEXT_MAX)).toEqual([]);
  expect(view.text).not.toBe('');
}

/** Nobody is called and nothing can be clicked that is not ours, whatever the data holds. */
export function expectHarmless(view: MessageView): void {
  // Plain text and the values of buttons are not read as markup.
  const markup = view.blocks.flatMap((b) => [
    b.type === 'section' ? b.text?.text : '',
    ...(b.type === 'context' ? b.elements.map((e) => ('text' in e ? e.text : '')) : []),
  ]);
  const all = [view.text, ...markup].join('\n');
  expect(all).not.toMatch(/<!(channel|here|everyone)/);
  expect(all).not.toMatch(/<@U1>/);
  expect(all).not.toMatch(/<https?:/);
  expect(JSON.stringify(view.blocks)).not.toMatch(/"text":"[^"]*(\u202e|\\u0000)/);
}

function hintOf({ hint }: InputBlock): string {
  return hint === undefined ? '' : ` (${hint.text})`;
}

/** A dialog as people see it. */
export function seenDialog(view: ModalView): string {
  return `== ${view.title.text} ==\n${seen({ blocks: view.blocks as KnownBlock[] })}\n{${view.submit?.text ?? view.close?.text ?? 'Close'}}`;
}

export function expectDialogFits(view: ModalView): void {
  expect(validateView(view)).toEqual([]);
}

/** Every text of the data replaced by the worst; what code decides on, and times, stay. */
export function poison<T>(data: T, alsoKeep = /^$/): T {
  const keep = /^(kind|code|type|at|state|what|since|\w+At|source|checks|level)$/;
  const walk = (value: unknown, key: string): unknown => {
    if (typeof value === 'string' && !keep.test(key) && !alsoKeep.test(key))
      return ['cluster', 'operation'].includes(key) ? HOSTILE_NAME : HOSTILE;
    if (Array.isArray(value)) return key === 'checks' ? value : value.map((v) => walk(v, key));
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, walk(v, k)]));
    }
    return value;
  };
  return walk(data, '') as T;
}
