/** Owns reading Slack's mrkdwn: text in, a tree of plain objects out. What it does not know stays text. */

/** Text of one message or text object, as nodes. */
export function parseMrkdwn(text) {
  const nodes = [];
  String(text)
    .split(/```\n?([\s\S]*?)\n?```/)
    .forEach((part, index) => {
      if (index % 2 === 1) nodes.push({ type: 'pre', text: unescape(unlink(part)) });
      else if (part !== '') nodes.push(...parseLines(part));
    });
  return nodes;
}

/** Plain text: only emoji are read. */
export function parsePlain(text) {
  return splitEmoji(String(text));
}

/** Quoted lines that follow each other are one quote. */
function parseLines(text) {
  const nodes = [];
  let quote;
  const lines = text.split('\n');
  lines.forEach((line, index) => {
    const quoted = /^(?:&gt;|>) ?(.*)$/.exec(line);
    if (quoted !== null) {
      if (quote === undefined) nodes.push((quote = { type: 'quote', children: [] }));
      else quote.children.push({ type: 'break' });
      quote.children.push(...parseInline(quoted[1]));
      return;
    }
    if (quote === undefined && index > 0) nodes.push({ type: 'break' });
    quote = undefined;
    nodes.push(...parseInline(line));
  });
  return nodes;
}

const MARKS = { '*': 'bold', _: 'italic', '~': 'strike' };

/** One line. A mark counts only at the edge of a word, as in Slack: `a*b*c` stays as it is. */
function parseInline(text) {
  const nodes = [];
  let plain = '';
  const flush = () => {
    if (plain !== '') nodes.push(...autolink(plain));
    plain = '';
  };
  let at = 0;
  while (at < text.length) {
    const found = readEntity(text, at) ?? readCode(text, at) ?? readMarked(text, at);
    if (found === undefined) {
      plain += text[at];
      at += 1;
    } else {
      flush();
      nodes.push(found.node);
      at = found.end;
    }
  }
  flush();
  return nodes;
}

function readCode(text, at) {
  if (text[at] !== '`') return undefined;
  const end = text.indexOf('`', at + 1);
  if (end <= at + 1) return undefined;
  return { node: { type: 'code', text: unescape(unlink(text.slice(at + 1, end))) }, end: end + 1 };
}

function readEntity(text, at) {
  if (text[at] !== '<') return undefined;
  const end = text.indexOf('>', at);
  if (end < 0) return undefined;
  const node = entity(text.slice(at + 1, end));
  return node === undefined ? undefined : { node, end: end + 1 };
}

function readMarked(text, at) {
  const type = MARKS[text[at]];
  if (type === undefined || isWord(text[at - 1]) || /^\s?$/.test(text[at + 1] ?? '')) return undefined;
  for (let end = at + 2; end < text.length; end += 1) {
    const skipped = readEntity(text, end) ?? readCode(text, end);
    if (skipped !== undefined) end = skipped.end;
    if (text[end] === text[at] && !/\s/.test(text[end - 1]) && !isWord(text[end + 1])) {
      return { node: { type, children: parseInline(text.slice(at + 1, end)) }, end: end + 1 };
    }
  }
  return undefined;
}

function isWord(letter) {
  return letter !== undefined && /[\p{L}\p{N}]/u.test(letter);
}

/** The inside of `<…>`: a mention, a date, a link; undefined when it is none of them. */
function entity(inside) {
  const [target, ...rest] = inside.split('|');
  const label = rest.length === 0 ? undefined : unescape(rest.join('|'));
  const mention = /^([@#])([A-Z0-9]+)$/.exec(target);
  if (mention !== null) return { type: mention[1] === '@' ? 'user' : 'channel', id: mention[2], label };
  const group = /^!subteam\^([A-Z0-9]+)$/.exec(target);
  if (group !== null) return { type: 'group', id: group[1], label };
  if (/^!(here|channel|everyone)$/.test(target)) return { type: 'broadcast', name: target.slice(1) };
  const date = /^!date\^(\d+)\^([^^]*)(?:\^(.*))?$/.exec(target);
  if (date !== null) {
    return { type: 'date', ts: Number(date[1]), format: unescape(date[2]), url: safeUrl(date[3]), fallback: label };
  }
  const url = safeUrl(unescape(target));
  return url === undefined ? undefined : { type: 'link', url, text: label ?? url.replace(/^mailto:/, '') };
}

/** Links lead to the web or to mail, never to a script. */
export function safeUrl(url) {
  return url !== undefined && /^(https?:\/\/|mailto:)\S+$/i.test(url) ? url : undefined;
}

/** Bare addresses become links. */
function autolink(text) {
  return text.split(/(\bhttps?:\/\/[^\s<>]*[^\s<>.,;:!?)'"\]])/).flatMap((part, index) => {
    if (index % 2 === 1) return [{ type: 'link', url: unescape(part), text: unescape(part) }];
    return splitEmoji(unescape(part));
  });
}

function splitEmoji(text) {
  return text.split(/:([a-z0-9_+-]+(?:::skin-tone-\d)?):/).flatMap((part, index) => {
    if (index % 2 === 1) return [{ type: 'emoji', name: part }];
    return part === '' ? [] : [{ type: 'text', text: part }];
  });
}

/** In code, links are shown as what was written. */
function unlink(text) {
  return text.replace(/<([^<>|\s]+)(?:\|([^<>]*))?>/g, (whole, target, label) =>
    /^(https?:|mailto:)/.test(target) ? (label ?? target) : whole,
  );
}

export function unescape(text) {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

const DAY = { year: 'numeric', month: 'long', day: 'numeric' };
const DATE_FORMATS = {
  date_num: (date) => date.toLocaleDateString('sv-SE'),
  date: (date) => date.toLocaleDateString([], DAY),
  date_short: (date) => date.toLocaleDateString([], { ...DAY, month: 'short' }),
  date_long: (date) => date.toLocaleDateString([], { ...DAY, weekday: 'long' }),
  date_pretty: (date, now) => relativeDay(date, now) ?? DATE_FORMATS.date(date),
  date_short_pretty: (date, now) => relativeDay(date, now) ?? DATE_FORMATS.date_short(date),
  date_long_pretty: (date, now) => relativeDay(date, now) ?? DATE_FORMATS.date_long(date),
  time: (date) => date.toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' }),
  time_secs: (date) => date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' }),
  ago: (date, now) => ago(date, now),
};

/** Slack's `{date_short_pretty} at {time}` and its like, in the reader's own zone. */
export function formatDate(ts, format, now = new Date()) {
  const date = new Date(ts * 1000);
  return format.replace(/\{(\w+)\}/g, (whole, name) => DATE_FORMATS[name]?.(date, now) ?? whole);
}

function relativeDay(date, now) {
  const startOf = (day) => new Date(day.getFullYear(), day.getMonth(), day.getDate()).getTime();
  const days = Math.round((startOf(date) - startOf(now)) / 86_400_000);
  return { '-1': 'yesterday', 0: 'today', 1: 'tomorrow' }[days];
}

function ago(date, now) {
  const seconds = Math.round((now.getTime() - date.getTime()) / 1000);
  const [size, unit] = [
    [86_400, 'day'],
    [3_600, 'hour'],
    [60, 'minute'],
  ].find(([step]) => Math.abs(seconds) >= step) ?? [1, 'second'];
  return new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(-Math.round(seconds / size), unit);
}

/** Markdown of a `markdown` block, brought to mrkdwn as far as chat needs it. */
export function markdownToMrkdwn(markdown) {
  return markdown
    .split(/(```[\s\S]*?```)/)
    .map((part, index) => (index % 2 === 1 ? part.replace(/^```\w*\n/, '```\n') : markdownLines(part)))
    .join('');
}

function markdownLines(text) {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replace(/^>/gm, '&gt;')
    .replace(/^(\s*)[-*+] /gm, '$1• ')
    .replace(/!?\[([^\]]*)\]\((https?:[^)\s]+)\)/g, '<$2|$1>')
    .replace(/(^|[^*])\*([^*\s][^*\n]*)\*(?!\*)/g, '$1_$2_')
    .replace(/^#{1,6} +(.*)$/gm, (_, heading) => `*${heading.replaceAll('*', '')}*`)
    .replace(/\*\*(.+?)\*\*/g, '*$1*')
    .replace(/~~(.+?)~~/g, '~$1~');
}
