/** Owns the page's line to the server: the state once, then every change; and the acts of the person. */

const client = Math.random().toString(36).slice(2);
const parameters = new URLSearchParams(location.search);

export const me = parameters.get('as') ?? '';

/** Asks the server to do something as this person; always resolves, with `{ok: false, error}` at worst. */
export async function post(verb, body) {
  try {
    const response = await fetch(`/page/do/${verb}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, as: me, client }),
    });
    return await response.json();
  } catch {
    return { ok: false, error: 'The workspace does not answer. Is it still running?' };
  }
}

/** Calls `onState` with the whole state at each connection, `onChange` with what changes, `onConnected` with a boolean. */
export function connect({ onState, onChange, onConnected }) {
  const socket = new WebSocket(`ws://${location.host}/page/live?as=${me}&client=${client}`);
  let early = [];
  socket.addEventListener('message', ({ data }) => {
    const change = JSON.parse(data);
    if (early === undefined) onChange(change);
    else early.push(change);
  });
  socket.addEventListener('open', async () => {
    const state = await (await fetch(`/page/state?as=${me}&client=${client}`)).json();
    if (state.redirectTo !== undefined) {
      parameters.set('as', state.redirectTo);
      location.replace(`?${parameters}`);
      return;
    }
    onState(state);
    onConnected(true);
    for (const change of early) onChange(change);
    early = undefined;
  });
  socket.addEventListener('close', () => {
    onConnected(false);
    setTimeout(() => connect({ onState, onChange, onConnected }), 1000);
  });
}

/** The state after one change. */
export function applyChange(state, change) {
  if (change.type === 'views') return { ...state, views: change.views };
  if (change.type === 'home') return { ...state, home: change.view };
  if (change.type === 'channel') return { ...state, channels: withChannel(state.channels, change.channel) };
  const channels = state.channels.map((channel) =>
    channel.id === change.channel ? { ...channel, messages: withMessage(channel.messages, change) } : channel,
  );
  return { ...state, channels };
}

function withChannel(channels, changed) {
  const old = channels.find(({ id }) => id === changed.id);
  if (old === undefined) return [...channels, { ...changed, messages: [] }];
  return channels.map((channel) => (channel === old ? { ...changed, messages: old.messages } : channel));
}

function withMessage(messages, { action, message }) {
  const others = messages.filter(({ ts }) => ts !== message.ts);
  if (action === 'removed') return others;
  if (others.length < messages.length) return messages.map((one) => (one.ts === message.ts ? message : one));
  return [...others, message];
}
