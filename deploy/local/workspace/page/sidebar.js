/** Owns the left side: who you are, the channels with what is unread, the app. */
import { useRef, useState } from 'preact/hooks';
import { useOutside } from './elements.js';
import { html } from './text.js';

export function Sidebar({ state, current, unread, onOpen, connected }) {
  const channels = state.channels.filter(({ kind, archived }) => kind !== 'im' && !archived);
  const archived = state.channels.filter((channel) => channel.archived);
  const dm = state.channels.find(({ kind }) => kind === 'im');
  return html`
    <nav class="sidebar" aria-label="Workspace">
      <div class="workspace">
        <img src="/page/icon.svg" alt="" />
        <div>
          <strong>${state.workspace}</strong>
          <small class=${connected ? 'online' : 'offline'}
            >${connected ? 'Runs on this machine' : 'Reconnecting…'}</small
          >
        </div>
      </div>
      <${Switcher} state=${state} current=${current} />
      <div class="places">
        <h2>Channels</h2>
        <ul>
          ${channels.map((channel) => html`<${Item} channel=${channel} sign="#" name=${channel.name} current=${current} unread=${unread} onOpen=${onOpen} />`)}
        </ul>
        ${
          archived.length > 0 &&
          html`<h2>Archived</h2>
            <ul>
              ${archived.map((channel) => html`<${Item} channel=${channel} sign="🗄" name=${channel.name} current=${current} unread=${unread} onOpen=${onOpen} />`)}
            </ul>`
        }
        <h2>Apps</h2>
        <ul>
          ${
            dm &&
            html`<${Item}
              channel=${dm}
              sign=${html`<img class="avatar tiny" src=${`/avatars/${state.app.id}.svg`} alt="" />`}
              name=${state.app.name}
              current=${current}
              unread=${unread}
              onOpen=${onOpen}
            />`
          }
        </ul>
      </div>
    </nav>
  `;
}

function Item({ channel, sign, name, current, unread, onOpen }) {
  const { count = 0, mentions = 0 } = unread(channel);
  const here = current === channel.id;
  const label = count === 0 ? name : `${name}, ${count} unread`;
  return html`
    <li>
      <button
        type="button"
        class=${`channel ${here ? 'here' : ''} ${count > 0 ? 'unread' : ''}`}
        aria-current=${here ? 'page' : undefined}
        aria-label=${label}
        data-testid=${`channel-${channel.kind === 'im' ? 'app' : channel.name}`}
        onClick=${() => onOpen(channel.id)}
      >
        <span class="sign" aria-hidden="true">${sign}</span><span class="channel-name">${name}</span>
        ${mentions > 0 && html`<span class="count">${mentions}</span>`}
      </button>
    </li>
  `;
}

/** Links, so that another person can be opened in another tab. */
function Switcher({ state, current }) {
  const [open, setOpen] = useState(false);
  const root = useRef();
  useOutside(root, () => setOpen(false), open);
  const me = state.users.find(({ id }) => id === state.me);
  const people = state.users.filter((user) => !user.isBot && !user.deactivated && user.id !== 'USLACKBOT');
  const groupsOf = (id) => state.groups.filter(({ users }) => users.includes(id)).map(({ handle }) => `@${handle}`);
  return html`
    <div class="switcher menu-root" ref=${root}>
      <button
        type="button"
        class="switch"
        data-testid="user-switcher"
        aria-haspopup="menu"
        aria-expanded=${open}
        onClick=${() => setOpen(!open)}
      >
        <img class="avatar" src=${`/avatars/${me.id}.svg`} alt="" />
        <span><small>You are:</small><strong>${me.realName.split(' ')[0]}</strong></span>
        <span class="caret" aria-hidden="true">▾</span>
      </button>
      ${
        open &&
        html`<div class="menu people" role="menu" aria-label="Be somebody else">
          ${people.map(
            (user) => html`
              <a
                role="menuitem"
                href=${`?as=${user.id}&channel=${current}`}
                aria-current=${user.id === state.me ? 'true' : undefined}
              >
                <img class="avatar" src=${`/avatars/${user.id}.svg`} alt="" />
                <span>
                  <strong>${user.realName}</strong>
                  <small>${[user.title, ...groupsOf(user.id)].filter(Boolean).join(' · ')}</small>
                </span>
              </a>
            `,
          )}
          <p class="hint">Open one in a new tab to be two people at once.</p>
        </div>`
      }
    </div>
  `;
}
