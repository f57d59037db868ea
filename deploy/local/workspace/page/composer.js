/** Owns the composer: writing, completion, history with the arrow keys, sending. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { complete } from './completion.js';
import { html } from './text.js';

const HISTORY_KEPT = 50;

function readHistory(user) {
  try {
    return JSON.parse(localStorage.getItem(`history:${user}`)) ?? [];
  } catch {
    return [];
  }
}

/** `onSend(text)` resolves with true when it was taken; `draft` is put in when it changes. */
export function Composer({ label, user, commands, people, draft, disabled, testId, onSend }) {
  const [text, setText] = useState('');
  const [active, setActive] = useState(0);
  const [dismissed, setDismissed] = useState();
  const [sending, setSending] = useState(false);
  const back = useRef(0);
  const area = useRef();
  const offer = dismissed === text ? undefined : complete(text, { commands, people });
  const items = offer?.items ?? [];
  const chosen = offer?.eager || active > 0 || back.current < 0 ? Math.min(active, items.length - 1) : -1;

  useEffect(() => {
    if (draft?.text === undefined) return;
    setText(draft.text);
    area.current.focus();
  }, [draft]);
  useEffect(() => {
    area.current.style.height = 'auto';
    area.current.style.height = `${Math.min(area.current.scrollHeight, 240)}px`;
  }, [text]);

  const write = (next) => {
    setText(next);
    setActive(0);
    setDismissed(undefined);
  };
  const take = (item) => {
    write(text.slice(0, offer.from) + item.insert);
    area.current.focus();
  };
  const send = async () => {
    const written = text.trim();
    if (written === '' || sending) return;
    setSending(true);
    write('');
    back.current = 0;
    const history = [...readHistory(user).filter((one) => one !== written), written].slice(-HISTORY_KEPT);
    localStorage.setItem(`history:${user}`, JSON.stringify(history));
    const taken = await onSend(written);
    setSending(false);
    if (!taken) setText((now) => (now === '' ? written : now));
  };
  const recall = (step) => {
    const history = readHistory(user);
    const next = Math.min(Math.max(back.current + step, 0), history.length);
    if (next === back.current) return;
    back.current = next;
    write(next === 0 ? '' : history[history.length - next]);
    setDismissed(next === 0 ? '' : history[history.length - next]);
  };
  const onKeyDown = (event) => {
    const { key } = event;
    if (event.isComposing) return;
    if (key === 'Escape' && offer !== undefined) {
      event.stopPropagation();
      setDismissed(text);
    } else if (items.length > 0 && (key === 'ArrowDown' || key === 'ArrowUp')) {
      event.preventDefault();
      const step = key === 'ArrowDown' ? 1 : -1;
      setActive(chosen < 0 ? (step > 0 ? 0 : items.length - 1) : (chosen + step + items.length) % items.length);
      back.current = -1;
    } else if (items.length > 0 && key === 'Tab' && !event.shiftKey) {
      event.preventDefault();
      take(items[Math.max(chosen, 0)]);
    } else if (key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      if (chosen >= 0 && items[chosen] !== undefined) take(items[chosen]);
      else void send();
    } else if (key === 'ArrowUp' && (text === '' || back.current > 0)) {
      event.preventDefault();
      recall(1);
    } else if (key === 'ArrowDown' && back.current > 0) {
      event.preventDefault();
      recall(-1);
    }
  };

  const listId = `${testId}-offers`;
  return html`
    <div class="composer">
      ${offer !== undefined && html`<${Offers} id=${listId} offer=${offer} chosen=${chosen} onTake=${take} />`}
      <div class="composer-box">
        <textarea
          ref=${area}
          rows="1"
          data-testid=${testId}
          aria-label=${label}
          placeholder=${label}
          role="combobox"
          aria-autocomplete="list"
          aria-haspopup="listbox"
          aria-expanded=${items.length > 0}
          aria-controls=${listId}
          aria-activedescendant=${chosen >= 0 && items.length > 0 ? `${listId}-${chosen}` : undefined}
          spellcheck="true"
          disabled=${disabled}
          value=${text}
          onInput=${(event) => {
            back.current = 0;
            write(event.currentTarget.value);
          }}
          onKeyDown=${onKeyDown}
        ></textarea>
        <button
          type="button"
          class="send"
          aria-label="Send"
          disabled=${disabled || text.trim() === ''}
          onClick=${() => void send()}
        >
          <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M3 3.5 17.5 10 3 16.5V11l8-1-8-1z" /></svg>
        </button>
      </div>
      <p class="composer-hint" aria-hidden="true">
        <kbd>Enter</kbd> to send · <kbd>Shift</kbd>+<kbd>Enter</kbd> for a new line · <kbd>/</kbd> for commands
      </p>
    </div>
  `;
}

function Offers({ id, offer, chosen, onTake }) {
  if (offer.items.length === 0) return html`<div class="offers usage" role="status"><code>${offer.usage}</code></div>`;
  return html`
    <div class="offers" role="listbox" id=${id} aria-label="Completions">
      ${offer.items.map(
        (item, index) => html`
          <div
            role="option"
            id=${`${id}-${index}`}
            aria-selected=${index === chosen}
            onMouseDown=${(event) => {
              event.preventDefault();
              onTake(item);
            }}
          >
            <span class="offer-name">${item.label}</span>
            <span class="offer-usage">${item.usage}</span>
            ${item.description && html`<span class="offer-description">${item.description}</span>`}
          </div>
        `,
      )}
      <p class="offers-hint"><kbd>Tab</kbd> or click to take one</p>
    </div>
  `;
}
