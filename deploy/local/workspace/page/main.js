/** Owns the page as a whole: which channel is open, what is unread, threads, toasts. */
import { render } from 'preact';
import { useEffect, useReducer, useRef, useState } from 'preact/hooks';
import { Blocks, useSurface } from './blocks.js';
import { Composer } from './composer.js';
import { applyChange, connect, me, post } from './live.js';
import { Message, MessageList } from './messages.js';
import { Modal } from './modal.js';
import { Sidebar } from './sidebar.js';
import { html, Mrkdwn, names } from './text.js';

const TOAST_MS = 6_000;
const parameters = new URLSearchParams(location.search);

function App({ emoji }) {
  const [state, dispatch] = useReducer(
    (old, change) => (change.type === 'state' ? change.state : applyChange(old, change)),
    null,
  );
  const [connected, setConnected] = useState(false);
  const [channelId, setChannelId] = useState(parameters.get('channel') ?? '');
  const [threadTs, setThreadTs] = useState();
  const [highlighted, setHighlighted] = useState(parameters.get('message') ?? undefined);
  const [toasts, toast] = useToasts();
  useEffect(
    () =>
      connect({
        onState: (next) => dispatch({ type: 'state', state: next }),
        onChange: dispatch,
        onConnected: setConnected,
      }),
    [],
  );
  const channel = state?.channels.find(({ id }) => id === channelId) ?? state?.channels[0];
  const unread = useUnread(state, channel);
  useEffect(() => {
    if (channel === undefined) return;
    const query = new URLSearchParams({ as: me, channel: channel.id });
    history.replaceState(null, '', `?${query}`);
    document.title = `${channel.kind === 'im' ? state.app.name : `#${channel.name}`} · ${state.workspace}`;
  }, [channel?.id]);
  if (state === null || channel === undefined)
    return html`<div class="loading" role="status">Opening the workspace…</div>`;

  const open = (id) => {
    setChannelId(id);
    setThreadTs(undefined);
    setHighlighted(undefined);
  };
  Object.assign(names, {
    me,
    emoji,
    users: new Map(state.users.map((user) => [user.id, user])),
    groups: new Map(state.groups.map((group) => [group.id, group])),
    channels: new Map(state.channels.map((one) => [one.id, one])),
    openChannel: open,
  });
  const context = {
    me,
    channel,
    post,
    toast,
    highlighted,
    openThread: setThreadTs,
    repliesOf: (ts) =>
      channel.messages.filter((message) => message.threadTs === ts && message.ephemeralFor === undefined),
  };
  const top = state.views.at(-1);
  return html`
    <div class=${threadTs ? 'layout with-thread' : 'layout'}>
      <${Sidebar} state=${state} current=${channel.id} unread=${unread} onOpen=${open} connected=${connected} />
      ${
        channel.kind === 'im'
          ? html`<${AppView} key=${channel.id} state=${state} context=${context} />`
          : html`<${Conversation} key=${channel.id} state=${state} context=${context} />`
      }
      ${threadTs && html`<${Thread} key=${threadTs} state=${state} context=${context} ts=${threadTs} onClose=${() => setThreadTs(undefined)} />`}
    </div>
    ${top && html`<${Modal} key=${top.id} view=${top} depth=${state.views.length} appName=${state.app} post=${post} toast=${toast} />`}
    <${Toasts} toasts=${toasts} />
  `;
}

function useToasts() {
  const [toasts, setToasts] = useState([]);
  const next = useRef(0);
  const toast = (text, kind = 'error') => {
    const id = (next.current += 1);
    setToasts((old) => [...old, { id, text, kind }]);
    setTimeout(() => setToasts((old) => old.filter((one) => one.id !== id)), TOAST_MS);
  };
  return [toasts, toast];
}

/** In the top layer, so that a dialog does not hide it. */
function Toasts({ toasts }) {
  const box = useRef();
  useEffect(() => {
    if (toasts.length === 0) box.current.hidePopover?.();
    else {
      box.current.hidePopover?.();
      box.current.showPopover?.();
    }
  }, [toasts]);
  return html`
    <div class="toasts" popover="manual" ref=${box} role="alert" aria-live="assertive">
      ${toasts.map(({ id, text, kind }) => html`<div key=${id} class=${`toast ${kind}`}>${kind === 'error' ? '⚠️ ' : ''}${text}</div>`)}
    </div>
  `;
}

/** What was read is kept in this browser, for each person. */
function useUnread(state, open) {
  const key = `read:${me}`;
  const [read, setRead] = useState(() => JSON.parse(localStorage.getItem(key) ?? '{}'));
  const newest = open?.messages.at(-1)?.ts;
  const markRead = () => {
    if (newest === undefined || document.hidden) return;
    setRead((old) => {
      const now = { ...old, [open.id]: newest };
      localStorage.setItem(key, JSON.stringify(now));
      return now;
    });
  };
  useEffect(markRead, [open?.id, newest]);
  useEffect(() => {
    document.addEventListener('visibilitychange', markRead);
    return () => document.removeEventListener('visibilitychange', markRead);
  }, [open?.id, newest]);
  const groups = state?.groups.filter(({ users }) => users.includes(me)) ?? [];
  const mine = [`<@${me}>`, '<!channel>', '<!here>', '<!everyone>', ...groups.map(({ id }) => `<!subteam^${id}`)];
  const mentionsMe = (message) => {
    const all = message.text + JSON.stringify(message.blocks ?? '');
    return mine.some((mention) => all.includes(mention));
  };
  return (channel) => {
    if (channel.id === open?.id) return {};
    const since = Number(read[channel.id] ?? 0);
    const news = channel.messages.filter(({ ts, user }) => Number(ts) > since && user !== me);
    return {
      count: news.length,
      mentions: news.filter((message) => channel.kind === 'im' || mentionsMe(message)).length,
    };
  };
}

const peopleOf = (state) => [
  ...state.users.filter(({ id }) => id !== 'USLACKBOT').map(({ name, realName }) => ({ handle: name, name: realName })),
  ...state.groups.map(({ handle, name }) => ({ handle, name })),
];

function Write({ state, context, label, threadTs, draft }) {
  const onSend = async (text) => {
    const { channel, toast } = context;
    const answer = await post('say', { channel: channel.id, text, ...(threadTs ? { threadTs } : {}) });
    // A failed command is told in the channel by a private word; only what is not there is told here.
    if (!answer.ok && !answer.error.includes('failed with the error')) toast(answer.error);
    return answer.ok || answer.error.includes('failed with the error');
  };
  return html`
    <${Composer}
      label=${label}
      user=${me}
      commands=${threadTs ? [] : state.app.commands}
      people=${peopleOf(state)}
      draft=${draft}
      disabled=${context.channel.archived}
      testId=${threadTs ? 'thread-composer' : 'composer'}
      onSend=${onSend}
    />
  `;
}

const inChannel = (message) =>
  message.threadTs === undefined || message.broadcast === true || message.ephemeralFor !== undefined;

function Conversation({ state, context }) {
  const { channel } = context;
  const [draft, setDraft] = useState();
  const messages = channel.messages.filter(inChannel);
  const empty =
    messages.length === 0 && html`<${Empty} state=${state} channel=${channel} onTry=${(text) => setDraft({ text })} />`;
  return html`
    <main class="conversation" aria-label=${`Channel ${channel.name}`}>
      <header class="channel-header">
        <h1><span class="hash" aria-hidden="true">${channel.kind === 'private' ? '🔒' : '#'}</span>${channel.name}</h1>
        <p class="topic" title=${channel.topic}><${Mrkdwn} text=${channel.topic} /></p>
        <${Faces} ids=${channel.members} />
      </header>
      <${Bookmarks} channel=${channel} />
      <${MessageList} messages=${messages} label=${`Messages in #${channel.name}`} context=${context} empty=${empty} />
      ${channel.archived && html`<p class="archived" role="status">This channel is archived. Nobody can write here any more.</p>`}
      <${Write} state=${state} context=${context} label=${`Message #${channel.name}`} draft=${draft} />
    </main>
  `;
}

function Faces({ ids }) {
  const people = ids.map((id) => names.users.get(id)).filter(Boolean);
  const list = people.map(({ realName }) => realName).join(', ');
  return html`<div class="faces" title=${list} role="img" aria-label=${`${people.length} members: ${list}`}>
    ${people.slice(0, 5).map(({ id }) => html`<img class="avatar tiny" src=${`/avatars/${id}.svg`} alt="" />`)}
    <span>${people.length}</span>
  </div>`;
}

function Bookmarks({ channel }) {
  const pinned = channel.messages.filter((message) => message.pinned).length;
  if (channel.bookmarks.length === 0 && pinned === 0) return null;
  return html`<div class="bookmarks">
    ${pinned > 0 && html`<span>📌 ${pinned} pinned</span>`}
    ${channel.bookmarks.map(({ title, link }) => html`<a href=${link} target="_blank" rel="noopener noreferrer">🔖 ${title}</a>`)}
  </div>`;
}

/** What a newcomer sees first: three things to try; what stands in \`code\` goes into the composer. */
function Empty({ state, channel, onTry }) {
  return html`
    <section class="empty" data-testid="empty">
      <img src="/page/icon.svg" alt="" />
      <h2>
        ${channel.kind === 'im' ? `This is between you and ${state.app.name}` : `This is the start of #${channel.name}`}
      </h2>
      ${channel.topic && html`<p class="muted">${channel.topic}</p>`}
      ${
        state.tips.length > 0 &&
        html`<h3>${state.tips.length === 3 ? 'Three things to try' : 'Things to try'}</h3>
          <ol>
            ${state.tips.map((tip) => {
              const code = /`([^`]+)`/.exec(tip)?.[1];
              return html`<li>
                <span><${Mrkdwn} text=${tip} /></span>
                ${code?.startsWith('/') && html`<button type="button" class="button" aria-label=${`Try ${code}`} onClick=${() => onTry(code)}>Try it</button>`}
              </li>`;
            })}
          </ol>`
      }
    </section>
  `;
}

/** The app's own place, with its two tabs. */
function AppView({ state, context }) {
  const [tab, setTab] = useState('home');
  useEffect(() => void post('home', { tab }), [tab]);
  const tabButton = (name, text) => html`
    <button
      type="button"
      role="tab"
      id=${`tab-${name}`}
      aria-selected=${tab === name}
      aria-controls="app-panel"
      onClick=${() => setTab(name)}
    >
      ${text}
    </button>
  `;
  return html`
    <main class="conversation" aria-label=${state.app.name}>
      <header class="channel-header">
        <h1><img class="avatar small" src=${`/avatars/${state.app.id}.svg`} alt="" />${state.app.name}</h1>
        <span class="badge">APP</span>
      </header>
      <div class="tabs" role="tablist" aria-label=${state.app.name}>
        ${tabButton('home', 'Home')}${tabButton('messages', 'Messages')}
      </div>
      <div class="app-panel" id="app-panel" role="tabpanel" aria-labelledby=${`tab-${tab}`}>
        ${tab === 'home' ? html`<${Home} state=${state} context=${context} />` : html`<${AppMessages} state=${state} context=${context} />`}
      </div>
    </main>
  `;
}

function Home({ state, context }) {
  const surface = useSurface({ home: true }, post, context.toast);
  if (state.home === null) {
    return html`<div class="empty">
      <h2>Nothing here yet</h2>
      <p class="muted">${state.app.name} has not put anything into its Home tab.</p>
    </div>`;
  }
  return html`<div class="home" data-testid="home"><${Blocks} blocks=${state.home.blocks} surface=${surface} /></div>`;
}

function AppMessages({ state, context }) {
  const [draft, setDraft] = useState();
  const messages = context.channel.messages.filter(inChannel);
  const empty =
    messages.length === 0 &&
    html`<${Empty} state=${state} channel=${context.channel} onTry=${(text) => setDraft({ text })} />`;
  return html`
    <${MessageList} messages=${messages} label=${`Messages with ${state.app.name}`} context=${context} empty=${empty} />
    <${Write} state=${state} context=${context} label=${`Message ${state.app.name}`} draft=${draft} />
  `;
}

function Thread({ state, context, ts, onClose }) {
  const { channel } = context;
  const parent = channel.messages.find((message) => message.ts === ts);
  const replies = channel.messages.filter((message) => message.threadTs === ts);
  useEffect(() => {
    const onKey = ({ key }) => key === 'Escape' && document.querySelector('dialog[open]') === null && onClose();
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
  const head = parent
    ? html`<${Message} message=${parent} context=${context} inThread />
        <div class="day replies"><span>${replies.length === 1 ? '1 reply' : `${replies.length} replies`}</span></div>`
    : html`<p class="muted">The first message of this thread was removed.</p>`;
  return html`
    <aside class="thread" aria-label="Thread" data-testid="thread">
      <header class="channel-header">
        <h2>Thread</h2>
        <span class="muted"># ${channel.name}</span>
        <button type="button" class="cross" aria-label="Close thread" onClick=${onClose}>✕</button>
      </header>
      <${MessageList} messages=${replies} label="Replies" context=${context} empty=${head} inThread />
      <${Write} state=${state} context=${context} label="Reply…" threadTs=${ts} />
    </aside>
  `;
}

const emoji = await (await fetch('/emoji.json')).json();
document.getElementById('app').remove();
const root = document.createElement('div');
root.id = 'root';
document.body.append(root);
render(html`<${App} emoji=${emoji} />`, root);
