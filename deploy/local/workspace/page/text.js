/** Owns showing text: mrkdwn trees, rich text and emoji as elements. Text is never put in as markup. */
import { h } from 'preact';
import htm from 'htm';
import { formatDate, parseMrkdwn, parsePlain, safeUrl } from './mrkdwn.js';

export const html = htm.bind(h);

/** What names mean; set once the state is known. */
export const names = {
  me: '',
  users: new Map(),
  groups: new Map(),
  channels: new Map(),
  emoji: {},
  openChannel: () => {},
};

export function Mrkdwn({ text }) {
  return html`<span class="mrkdwn">${parseMrkdwn(text).map(showNode)}</span>`;
}

export function Plain({ text }) {
  return html`${parsePlain(text).map(showNode)}`;
}

/** A text object: `plain_text` or `mrkdwn`. */
export function Text({ of }) {
  if (of === undefined || of === null) return null;
  return of.type === 'mrkdwn'
    ? html`<${Mrkdwn} text=${of.text} />`
    : html`<span class="plain"><${Plain} text=${of.text} /></span>`;
}

const NODES = {
  text: ({ text }) => text,
  break: () => html`<br />`,
  bold: ({ children }) => html`<strong>${children.map(showNode)}</strong>`,
  italic: ({ children }) => html`<em>${children.map(showNode)}</em>`,
  strike: ({ children }) => html`<s>${children.map(showNode)}</s>`,
  quote: ({ children }) => html`<blockquote>${children.map(showNode)}</blockquote>`,
  code: ({ text }) => html`<code>${text}</code>`,
  pre: ({ text }) => html`<pre tabindex="0">${text}</pre>`,
  link: ({ url, text }) => html`<${Link} url=${url}><${Plain} text=${text} /><//>`,
  emoji: ({ name }) => html`<${Emoji} name=${name} />`,
  user: ({ id, label }) => mention('@' + (names.users.get(id)?.realName ?? label ?? id), id === names.me),
  group: ({ id, label }) => {
    const group = names.groups.get(id);
    return mention(group ? `@${group.handle}` : (label ?? `@${id}`), group?.users.includes(names.me));
  },
  broadcast: ({ name }) => mention(`@${name}`, true),
  channel: ({ id, label }) => {
    const channel = names.channels.get(id);
    return html`<button type="button" class="mention" onClick=${() => names.openChannel(id)}>
      #${channel?.name ?? label ?? id}
    </button>`;
  },
  date: ({ ts, format, url, fallback }) => {
    const time = html`<time datetime=${new Date(ts * 1000).toISOString()} title=${fallback}
      >${formatDate(ts, format)}</time
    >`;
    return url === undefined ? time : html`<${Link} url=${url}>${time}<//>`;
  },
};

function showNode(node) {
  return NODES[node.type](node);
}

function mention(text, isMe) {
  return html`<span class=${isMe ? 'mention me' : 'mention'}>${text}</span>`;
}

function Link({ url, children }) {
  const safe = safeUrl(url);
  if (safe === undefined) return html`<span>${children}</span>`;
  return html`<a href=${safe} target="_blank" rel="noopener noreferrer">${children}</a>`;
}

export function Emoji({ name }) {
  const [base, tone] = name.split('::skin-tone-');
  const sign = Object.hasOwn(names.emoji, base) ? names.emoji[base] : undefined;
  if (sign === undefined) return `:${name}:`;
  const skin = tone === undefined || tone < 2 ? '' : String.fromCodePoint(0x1f3f9 + Number(tone));
  return html`<span class="emoji" role="img" aria-label=${base.replaceAll('_', ' ')} title=${`:${name}:`}
    >${sign}${skin}</span
  >`;
}

// ── Rich text ────────────────────────────────────────────────────────────────────────────────────────────────────────

const LEAVES = {
  text: ({ text }) => text.split('\n').flatMap((line, index) => (index === 0 ? [line] : [html`<br />`, line])),
  link: ({ url, text }) => html`<${Link} url=${url}>${text ?? url}<//>`,
  emoji: ({ name }) => html`<${Emoji} name=${name} />`,
  user: ({ user_id: id }) => NODES.user({ id }),
  usergroup: ({ usergroup_id: id }) => NODES.group({ id }),
  channel: ({ channel_id: id }) => NODES.channel({ id }),
  broadcast: ({ range }) => NODES.broadcast({ name: range }),
  date: ({ timestamp, format, url, fallback }) => NODES.date({ ts: timestamp, format, url: safeUrl(url), fallback }),
  color: ({ value }) => value,
};

function showLeaf(leaf) {
  const shown = LEAVES[leaf.type]?.(leaf) ?? '';
  const style = leaf.style ?? {};
  const tags = [
    [style.code, 'code'],
    [style.strike, 's'],
    [style.italic, 'em'],
    [style.bold, 'strong'],
    [style.underline, 'u'],
  ];
  return tags.reduce((inner, [on, tag]) => (on ? html`<${tag}>${inner}<//>` : inner), shown);
}

const PARTS = {
  rich_text_section: ({ elements }) => html`<div>${elements.map(showLeaf)}</div>`,
  rich_text_preformatted: ({ elements }) => html`<pre tabindex="0">${elements.map(showLeaf)}</pre>`,
  rich_text_quote: ({ elements }) => html`<blockquote>${elements.map(showLeaf)}</blockquote>`,
  rich_text_list: ({ elements, style, indent = 0, offset = 0 }) => html`
    <${style === 'ordered' ? 'ol' : 'ul'}
      class=${`indent-${indent}`}
      start=${style === 'ordered' ? offset + 1 : undefined}
    >
      ${elements.map((section) => html`<li>${section.elements.map(showLeaf)}</li>`)}
    <//>
  `,
};

export function RichText({ elements }) {
  return html`<div class="rich-text">${elements.map((part) => PARTS[part.type]?.(part))}</div>`;
}
