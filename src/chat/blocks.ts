/** Owns Block Kit's small print: escaping, limits, and how sizes, times and names are written. Pure. */
import type {
  ActionsBlock,
  Button,
  ConfirmationDialog,
  ContextBlock,
  HeaderBlock,
  KnownBlock,
  MrkdwnElement,
  PlainTextElement,
  SectionBlock,
} from '@slack/types';

/** Slack's limits, in characters or items. */
export const LIMITS = {
  text: 4000,
  blocks: 50,
  /** All blocks of a message as JSON; not documented, measured by users (bolt-js issues 2509 and 2867). */
  blocksJson: 13_000,
  homeBlocks: 100,
  section: 3000,
  header: 150,
  context: 2000,
  buttonText: 75,
  buttonValue: 2000,
  confirmTitle: 100,
  confirmText: 300,
  confirmButton: 30,
} as const;

/** A message as `chat.postMessage` and a response URL take it; `text` says it all for those who see no blocks. */
export interface MessageView {
  readonly text: Mrkdwn;
  readonly blocks: readonly KnownBlock[];
}

/**
 * Text that Slack has already been told how to read: escaped, with dates and mentions in it. Only the functions of this
 * file make it, and `join` puts it together; so nothing gets into a message unescaped.
 */
export type Mrkdwn = string & { readonly escaped: unique symbol };

/** Fixed text of ours, with the markup that we want. Never give it data: that goes in as `${plain(data)}`. */
export function mrk(strings: TemplateStringsArray, ...values: readonly (Mrkdwn | number)[]): Mrkdwn {
  return String.raw({ raw: strings.map((s) => s) }, ...values) as Mrkdwn;
}

export function join(parts: readonly (Mrkdwn | undefined)[], separator = ' · '): Mrkdwn {
  return parts.filter((p) => p !== undefined && p !== '').join(separator) as Mrkdwn;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

/** Control characters, line breaks and the marks that turn writing around. */
// eslint-disable-next-line no-control-regex -- they are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g;

/** Data as text: on one line, escaped, at most `max` characters of what people see. Mentions and links in it are dead. */
export function plain(data: string, max = 300): Mrkdwn {
  return escape(truncate(data.replace(UNPRINTABLE, ' ').trim(), max));
}

/** A name or an id in a code span, where no markup is read. */
export function code(data: string, max = 80): Mrkdwn {
  const text = plain(data.replaceAll('`', 'ʼ'), max);
  return (text === '' ? '–' : `\`${text}\``) as Mrkdwn;
}

/** A name in bold; signs that would end the bold are shown as look-alikes. */
export function bold(data: string, max = 80): Mrkdwn {
  const text = plain(
    data.replace(/[*_~`]/g, (c) => LOOK_ALIKE[c] ?? c),
    max,
  );
  return (text === '' ? '–' : `*${text}*`) as Mrkdwn;
}

/** What a person wrote, in their own lines, each marked as quoted; at most `max` characters of it. */
export function quote(data: string, max = 1000): Mrkdwn {
  const quoted = truncate(data.trim(), max)
    .split(/\r\n|[\n\r\u2028\u2029]/)
    .map((line) => mrk`> ${plain(line, max)}`);
  return join(quoted, '\n');
}

/** Text as it is, in blocks of code that each fit into a section; three backticks in a row are shown as look-alikes. */
export function codeBlocks(data: string): Mrkdwn[] {
  const room = LIMITS.section - 20;
  const pieces: string[] = [];
  for (const line of linesWithin(data, room)) {
    const last = pieces.at(-1);
    const together = last === undefined ? line : `${last}\n${line}`;
    if (last !== undefined && together.length <= room) pieces[pieces.length - 1] = together;
    else pieces.push(line);
  }
  return pieces.map((piece) => `\`\`\`\n${piece}\n\`\`\`` as Mrkdwn);
}

/** Escaped lines, none longer than `room`. */
function linesWithin(data: string, room: number): string[] {
  const text = data.replace(/\r\n?/g, '\n').replaceAll('```', 'ʼʼʼ').replace(/\n+$/, '');
  return text.split('\n').flatMap((line) => {
    const clean = line.replace(UNPRINTABLE, ' ');
    if (escape(clean).length <= room) return [escape(clean)];
    // An escaped character takes five at most; none is cut in two.
    const pieces = clean.match(new RegExp(`.{1,${Math.floor(room / 10)}}`, 'gu')) ?? [];
    return pieces.map(escape);
  });
}

const LOOK_ALIKE: Readonly<Record<string, string>> = { '*': '∗', _: 'ˍ', '~': '∼', '`': 'ʼ' };

function escape(text: string): Mrkdwn {
  return text.replace(/[&<>]/g, (c) => ENTITIES[c] ?? c) as Mrkdwn;
}

/** At most `max` UTF-16 units, never half a character; an ellipsis says that something was cut. */
export function truncate(text: string, max: number): string {
  if (text.length <= max) return text;
  let cut = '';
  for (const char of text) {
    if (cut.length + char.length > max - 1) break;
    cut += char;
  }
  return `${cut.trimEnd()}…`;
}

/** Cuts finished text to a limit without leaving half an entity, a half mention or an open code span behind. */
export function fit(text: Mrkdwn, max: number): Mrkdwn {
  if (text.length <= max) return text;
  const cut = truncate(text, max - 1).slice(0, -1);
  const whole = cut.replace(/&[a-z]{0,3}$/, '').replace(/<[^>]*$/, '');
  const ticks = whole.split('`').length - 1;
  return `${whole}${ticks % 2 === 1 ? '`' : ''}…` as Mrkdwn;
}

// ── Mentions, times, sizes ───────────────────────────────────────────────────────────────────────────────────────────

/** Names a person or a user group so that Slack shows (and, in a new message, tells) them. */
export function mention(id: string): Mrkdwn {
  if (/^[UW][A-Z0-9]+$/.test(id)) return `<@${id}>` as Mrkdwn;
  if (/^S[A-Z0-9]+$/.test(id)) return `<!subteam^${id}>` as Mrkdwn;
  return code(id);
}

export function channelLink(id: string): Mrkdwn {
  return (/^C[A-Z0-9]+$/.test(id) ? `<#${id}>` : 'a private conversation') as Mrkdwn;
}

/** A time in the reader's own zone and words ("today at 18:00"); those who can't see that get UTC. */
export function date(iso: string): Mrkdwn {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return plain(iso);
  const seconds = Math.floor(time.getTime() / 1000);
  const utc = `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return `<!date^${seconds}^{date_short_pretty} {time}|${utc}>` as Mrkdwn;
}

/** `412 MB`, decimal units, three figures at most. */
export function bytes(size: number): Mrkdwn {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = Math.max(0, size);
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const figures = unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value).toFixed(0);
  return `${figures} ${units[unit] ?? ''}` as Mrkdwn;
}

/** `38 s`, `2 min 5 s`, `3 h 10 min`, `2 d 4 h`. */
export function duration(ms: number): Mrkdwn {
  if (ms < 950) return `${Math.max(0, Math.round(ms))} ms` as Mrkdwn;
  const s = Math.round(ms / 1000);
  const two = (big: number, bigUnit: string, small: number, smallUnit: string): Mrkdwn =>
    `${big} ${bigUnit}${small > 0 ? ` ${small} ${smallUnit}` : ''}` as Mrkdwn;
  if (s < 60) return `${s} s` as Mrkdwn;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86_400) return two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return two(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

/** `10,233`; takes uint64 as bigint or decimal text. */
export function count(value: number | bigint | string): Mrkdwn {
  const text = String(value);
  return /^\d+$/.test(text) ? (text.replace(/\B(?=(\d{3})+$)/g, ',') as Mrkdwn) : plain(text);
}

export function plural(n: number, one: string, many = `${one}s`): Mrkdwn {
  return `${count(n)} ${n === 1 ? one : many}` as Mrkdwn;
}

// ── Blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function mrkdwnText(text: Mrkdwn, max: number): MrkdwnElement {
  // verbatim: names that look like links or channels stay what they are.
  return { type: 'mrkdwn', text: fit(text, max), verbatim: true };
}

export function plainText(text: string, max: number): PlainTextElement {
  return { type: 'plain_text', text: truncate(text.replace(UNPRINTABLE, ' '), max) || '–', emoji: true };
}

export function header(text: string): HeaderBlock {
  return { type: 'header', text: plainText(text, LIMITS.header) };
}

/** Shown whole: what people decide on must not wait behind a "see more". */
export function section(text: Mrkdwn): SectionBlock {
  return {
    type: 'section',
    text: mrkdwnText(text === '' ? mrk`–` : text, LIMITS.section),
    expand: true,
  };
}

export function context(text: Mrkdwn): ContextBlock {
  return {
    type: 'context',
    elements: [mrkdwnText(text === '' ? mrk`–` : text, LIMITS.context)],
  };
}

/** `value` is what the click brings back; data that does not fit is a bug, so it throws rather than cuts. */
export function button(
  actionId: string,
  text: string,
  value: object,
  options: { readonly style?: 'primary' | 'danger'; readonly confirm?: ConfirmationDialog } = {},
): Button {
  const json = JSON.stringify(value);
  if (json.length > LIMITS.buttonValue) throw new RangeError(`button ${actionId}: value of ${json.length} characters`);
  return { type: 'button', action_id: actionId, text: plainText(text, LIMITS.buttonText), value: json, ...options };
}

/** Slack's own question before a click counts. */
export function confirmation(
  title: string,
  text: string,
  yes: string,
  style: 'primary' | 'danger' = 'danger',
): ConfirmationDialog {
  return {
    title: plainText(title, LIMITS.confirmTitle),
    text: plainText(text, LIMITS.confirmText),
    confirm: plainText(yes, LIMITS.confirmButton),
    deny: plainText('Back', LIMITS.confirmButton),
    style,
  };
}

export function actions(elements: readonly Button[]): ActionsBlock {
  return { type: 'actions', elements: [...elements] };
}

/** Lines in as few sections as hold them whole. */
export function lines(all: readonly Mrkdwn[]): SectionBlock[] {
  const packed: Mrkdwn[] = [];
  for (const line of all) {
    const last = packed.at(-1);
    if (last !== undefined && last.length + 1 + line.length <= LIMITS.section) {
      packed[packed.length - 1] = join([last, line], '\n');
    } else {
      packed.push(line);
    }
  }
  return packed.map(section);
}

/** A finished message: within the limits whatever went in. */
export function message(text: Mrkdwn, blocks: readonly KnownBlock[]): MessageView {
  return { text: fit(text, LIMITS.text), blocks: shrink(blocks.slice(0, LIMITS.blocks)) };
}

/** Cuts the longest sections until all blocks together are small enough. */
function shrink(blocks: KnownBlock[]): KnownBlock[] {
  while (JSON.stringify(blocks).length > LIMITS.blocksJson) {
    const longest = blocks.reduce((at, block, i) => (textLength(block) > textLength(blocks[at]) ? i : at), 0);
    const block = blocks[longest];
    if (block?.type !== 'section' || block.text === undefined || textLength(block) < 100) break;
    blocks[longest] = section(fit(block.text.text as Mrkdwn, Math.floor(block.text.text.length * 0.75)));
  }
  return blocks;
}

function textLength(block: KnownBlock | undefined): number {
  return block?.type === 'section' ? (block.text?.text.length ?? 0) : 0;
}

/** One page of `all`; `page` counts from 0 and is moved into range. */
export function pageOf<T>(
  all: readonly T[],
  page: number,
  size: number,
): { readonly items: readonly T[]; readonly page: number; readonly pages: number } {
  const pages = Math.max(1, Math.ceil(all.length / size));
  const at = Math.min(Math.max(0, Math.trunc(page) || 0), pages - 1);
  return { items: all.slice(at * size, (at + 1) * size), page: at, pages };
}

/** Previous and Next, as far as there is something; no block when all is on one page. */
export function pager(actionId: string, page: number, pages: number, value: object): readonly KnownBlock[] {
  if (pages <= 1) return [];
  const buttons = [
    ...(page > 0 ? [button(`${actionId}.previous`, '◀ Previous', { ...value, page: page - 1 })] : []),
    ...(page < pages - 1 ? [button(`${actionId}.next`, 'Next ▶', { ...value, page: page + 1 })] : []),
  ];
  return [context(mrk`Page ${page + 1} of ${pages}`), actions(buttons)];
}
