/** Owns showing messages: the list of a channel, one message with all that belongs to it, threads. */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Blocks, useSurface } from './blocks.js';
import { Emoji, html, Mrkdwn, names } from './text.js';

const GROUP_SECONDS = 300;
const QUICK_REACTIONS = ['white_check_mark', 'eyes', '+1'];

export const clock = (ts) => new Date(ts * 1000).toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' });
const shortClock = (ts) => clock(ts).replace(/\s?[AP]M/i, '');
const fullTime = (ts) => new Date(ts * 1000).toLocaleString([], { dateStyle: 'full', timeStyle: 'medium' });

function dayName(ts) {
  const date = new Date(ts * 1000);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return date.toLocaleDateString([], { weekday: 'long', day: 'numeric', month: 'long' });
}

/** Messages, oldest first; stays at the bottom while the person is there. */
export function MessageList({ messages, label, context, empty, inThread }) {
  const list = useRef();
  const stick = useRef(true);
  const [unseen, setUnseen] = useState(false);
  const last = messages.at(-1)?.ts;
  const toBottom = () => {
    list.current.scrollTop = list.current.scrollHeight;
    setUnseen(false);
  };
  useLayoutEffect(() => {
    if (stick.current) toBottom();
    else setUnseen(true);
  }, [last]);
  useLayoutEffect(() => {
    if (stick.current) list.current.scrollTop = list.current.scrollHeight;
  });
  useEffect(() => {
    const wanted = context.highlighted && document.getElementById(`m${context.highlighted}`);
    if (!wanted) return;
    stick.current = false;
    wanted.scrollIntoView({ block: 'center' });
  }, [context.highlighted]);
  const onScroll = ({ currentTarget: box }) => {
    stick.current = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
    if (stick.current) setUnseen(false);
  };
  return html`
    <div class="list-box">
      <div class="list" role="log" aria-label=${label} tabindex="0" ref=${list} onScroll=${onScroll}>
        ${!inThread && html`<div class="list-filler"></div>`} ${empty}
        ${messages.map((message, index) => {
          const before = messages[index - 1];
          const newDay = before === undefined || dayName(before.ts) !== dayName(message.ts);
          const follows =
            !newDay &&
            before.user === message.user &&
            message.ts - before.ts < GROUP_SECONDS &&
            !before.ephemeralFor === !message.ephemeralFor;
          return html`
            ${newDay && !inThread && html`<div class="day" key=${`d${message.ts}`} role="separator"><span>${dayName(message.ts)}</span></div>`}
            <${Message}
              key=${message.ts}
              message=${message}
              context=${context}
              follows=${follows}
              inThread=${inThread}
            />
          `;
        })}
      </div>
      ${unseen && html`<button type="button" class="jump" onClick=${toBottom}>↓ New messages</button>`}
    </div>
  `;
}

/** `context`: `{me, channel, post, toast, openThread, repliesOf, highlighted}`. */
export function Message({ message, context, follows, inThread }) {
  const { channel, post, toast, highlighted } = context;
  const surface = useSurface({ channel: channel.id, ts: message.ts }, post, toast);
  const author = names.users.get(message.user) ?? { id: message.user, realName: message.user };
  const ephemeral = message.ephemeralFor !== undefined;
  const classes = [
    'message',
    follows && 'follows',
    ephemeral && 'ephemeral',
    highlighted === message.ts && 'highlighted',
  ];
  return html`
    <article
      id=${inThread ? undefined : `m${message.ts}`}
      class=${classes.filter(Boolean).join(' ')}
      data-testid="message"
      data-ts=${message.ts}
      data-ephemeral=${ephemeral}
      aria-label=${`${author.realName} at ${clock(message.ts)}${ephemeral ? ', only visible to you' : ''}`}
      tabindex="-1"
    >
      <div class="gutter">
        ${
          follows
            ? html`<time class="side-time" title=${fullTime(message.ts)}>${shortClock(message.ts)}</time>`
            : html`<img class="avatar" src=${`/avatars/${author.id}.svg`} alt="" />`
        }
      </div>
      <div class="message-body">
        ${ephemeral && html`<div class="only-you" data-testid="ephemeral"><${Eye} /> Only visible to you</div>`}
        ${message.pinned && html`<div class="only-you">📌 Pinned</div>`}
        ${
          !follows &&
          html`<header>
            <strong class="author">${author.realName}</strong>
            ${author.isBot && html`<span class="badge">APP</span>`}
            <time datetime=${new Date(message.ts * 1000).toISOString()} title=${fullTime(message.ts)}
              >${clock(message.ts)}</time
            >
          </header>`
        }
        <${Content} message=${message} surface=${surface} />
        <${Files} files=${message.files} />
        <${Reactions} message=${message} context=${context} />
        ${!inThread && html`<${ThreadLink} message=${message} context=${context} />`}
      </div>
      <${Tools} message=${message} context=${context} ephemeral=${ephemeral} inThread=${inThread} />
    </article>
  `;
}

function Eye() {
  return html`<svg class="eye" viewBox="0 0 20 20" aria-hidden="true">
    <path d="M1.5 10S4.5 4.5 10 4.5 18.5 10 18.5 10 15.5 15.5 10 15.5 1.5 10 1.5 10Z" />
    <circle cx="10" cy="10" r="2.6" />
  </svg>`;
}

/** Blocks where there are some, the text else; attachments below. */
function Content({ message, surface }) {
  const edited = message.edited && html`<span class="edited" title="This message was changed">(edited)</span>`;
  return html`
    ${
      message.blocks?.length
        ? html`<${Blocks} blocks=${message.blocks} surface=${surface} />`
        : message.text !== '' && html`<div class="text"><${Mrkdwn} text=${message.text} /> ${edited}</div>`
    }
    ${message.blocks?.length > 0 && edited}
    ${(message.attachments ?? []).map(
      (attachment) => html`
        <div class="attachment">
          <${ColourBar} colour=${attachment.color} />
          <div>
            ${attachment.title && html`<strong><${Mrkdwn} text=${attachment.title} /></strong>`}
            ${
              attachment.blocks
                ? html`<${Blocks} blocks=${attachment.blocks} surface=${surface} />`
                : html`<${Mrkdwn} text=${attachment.text ?? attachment.fallback ?? ''} />`
            }
          </div>
        </div>
      `,
    )}
  `;
}

/** The colour is set by script: the page's policy allows no style attributes in markup. */
function ColourBar({ colour }) {
  const bar = useRef();
  useEffect(() => {
    const known = { good: '#2eb67d', warning: '#ecb22e', danger: '#e01e5a' }[colour];
    bar.current.style.backgroundColor =
      known ?? (/^#?[0-9a-f]{6}$/i.test(colour ?? '') ? `#${colour.replace('#', '')}` : '');
  }, [colour]);
  return html`<span class="bar" ref=${bar}></span>`;
}

function Files({ files }) {
  return (files ?? []).map(
    (file) => html`
      <a class="file" href=${`/files/${file.id}/${encodeURIComponent(file.name)}`} download=${file.name}>
        <span aria-hidden="true">📄</span><span>${file.title}<small>${file.size.toLocaleString()} bytes</small></span>
      </a>
    `,
  );
}

function Reactions({ message, context }) {
  if (message.reactions.length === 0) return null;
  return html`<div class="reactions">
    ${message.reactions.map(({ name, users }) => {
      const who = users.map((id) => names.users.get(id)?.realName ?? id).join(', ');
      return html`
        <button
          type="button"
          class="reaction"
          aria-pressed=${users.includes(context.me)}
          aria-label=${`${name.replaceAll('_', ' ')}, ${users.length}: ${who}`}
          title=${who}
          onClick=${() => react(context, message, name)}
        >
          <${Emoji} name=${name} /> ${users.length}
        </button>
      `;
    })}
  </div>`;
}

async function react({ channel, post, toast }, message, name) {
  const answer = await post('react', { channel: channel.id, ts: message.ts, name });
  if (!answer.ok) toast(answer.error);
}

function ThreadLink({ message, context }) {
  const replies = context.repliesOf(message.ts);
  if (replies.length === 0) return null;
  const faces = [...new Set(replies.map(({ user }) => user))].slice(0, 4);
  return html`
    <button type="button" class="thread-link" onClick=${() => context.openThread(message.ts)}>
      ${faces.map((id) => html`<img class="avatar tiny" src=${`/avatars/${id}.svg`} alt="" />`)}
      <strong>${replies.length === 1 ? '1 reply' : `${replies.length} replies`}</strong>
      <span class="muted">Last reply at ${clock(replies.at(-1).ts)}</span>
    </button>
  `;
}

function Tools({ message, context, ephemeral, inThread }) {
  const copyLink = async () => {
    await navigator.clipboard?.writeText(
      `${location.origin}/archives/${context.channel.id}/p${message.ts.replace('.', '')}`,
    );
    context.toast('Link copied', 'info');
  };
  if (ephemeral) {
    const dismiss = () => context.post('dismiss', { channel: context.channel.id, ts: message.ts });
    return html`<div class="tools"><button type="button" onClick=${dismiss}>Dismiss</button></div>`;
  }
  return html`
    <div class="tools" role="group" aria-label="Message actions">
      ${QUICK_REACTIONS.map(
        (name) =>
          html`<button
            type="button"
            aria-label=${`React with ${name.replaceAll('_', ' ')}`}
            onClick=${() => react(context, message, name)}
          >
            <${Emoji} name=${name} />
          </button>`,
      )}
      ${!inThread && html`<button type="button" aria-label="Reply in thread" title="Reply in thread" onClick=${() => context.openThread(message.threadTs ?? message.ts)}>💬</button>`}
      <button type="button" aria-label="Copy link" title="Copy link" onClick=${copyLink}>🔗</button>
    </div>
  `;
}
