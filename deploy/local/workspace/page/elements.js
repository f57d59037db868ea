/** Owns the interactive elements: buttons, menus, inputs. What is chosen has the shape that Slack sends to apps. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { safeUrl } from './mrkdwn.js';
import { html, names, Plain, Text } from './text.js';

/**
 * One element. `surface` is what it stands on: `valueOf`, `setValue`, `act`, `suggest`, `isBusy`.
 * In an input block a choice is only remembered; elsewhere it is sent to the app at once.
 */
export function Element({ element, block, surface, inputId, describedBy }) {
  const Shown = SHOWN[element.type];
  if (Shown === undefined) return html`<span class="unsupported">${element.type}</span>`;
  const inForm = block.type === 'input';
  const value = surface.valueOf(block, element) ?? {};
  const [asking, setAsking] = useState();
  const send = (choice) => surface.act(block, element, choice);
  const ask = (choice) => (element.confirm ? setAsking({ choice }) : send(choice));
  const choose = (choice) => {
    surface.setValue(block, element, choice);
    if (!inForm || block.dispatch_action) ask(choice);
  };
  const props = {
    element,
    block,
    surface,
    value,
    choose,
    ask,
    remember: (choice) => surface.setValue(block, element, choice),
    busy: surface.isBusy(block, element),
    id: inputId,
    describedBy,
    label: inForm ? undefined : (element.placeholder?.text ?? element.type.replaceAll('_', ' ')),
  };
  return html`
    <${Shown} ...${props} />
    ${
      asking &&
      html`<${ConfirmDialog}
        confirm=${element.confirm}
        onAnswer=${(yes) => {
          setAsking(undefined);
          if (yes) send(asking.choice);
        }}
      />`
    }
  `;
}

function ConfirmDialog({ confirm, onAnswer }) {
  const dialog = useRef();
  useEffect(() => dialog.current.showModal(), []);
  const danger = confirm.style === 'danger';
  return html`
    <dialog
      ref=${dialog}
      class="dialog confirm"
      aria-label=${confirm.title?.text ?? 'Are you sure?'}
      data-testid="confirm"
      onCancel=${() => onAnswer(false)}
    >
      <h2>${confirm.title ? html`<${Text} of=${confirm.title} />` : 'Are you sure?'}</h2>
      <p><${Text} of=${confirm.text} /></p>
      <footer>
        <button type="button" class="button" onClick=${() => onAnswer(false)}>${confirm.deny?.text ?? 'Cancel'}</button>
        <button
          type="button"
          autofocus
          class=${`button ${danger ? 'danger' : 'primary'}`}
          onClick=${() => onAnswer(true)}
        >
          ${confirm.confirm?.text ?? 'Yes'}
        </button>
      </footer>
    </dialog>
  `;
}

function Button({ element, ask, busy }) {
  const classes = `button ${element.style ?? ''} ${busy ? 'busy' : ''}`;
  const open = () => {
    if (safeUrl(element.url)) window.open(element.url, '_blank', 'noopener');
    ask({});
  };
  return html`
    <button
      type="button"
      class=${classes}
      aria-busy=${busy}
      aria-label=${element.accessibility_label}
      disabled=${busy}
      onClick=${open}
    >
      <span><${Plain} text=${element.text.text} /></span>
    </button>
  `;
}

function Overflow({ element, ask, busy }) {
  const [open, setOpen] = useState(false);
  const root = useRef();
  useOutside(root, () => setOpen(false), open);
  return html`
    <div class="menu-root" ref=${root}>
      <button
        type="button"
        class="button icon"
        aria-label="More actions"
        aria-haspopup="menu"
        aria-expanded=${open}
        aria-busy=${busy}
        onClick=${() => setOpen(!open)}
      >
        ⋯
      </button>
      ${
        open &&
        html`<div class="menu" role="menu">
          ${element.options.map(
            (option) => html`
              <button
                type="button"
                role="menuitem"
                onClick=${() => {
                  setOpen(false);
                  ask({ selected_option: option });
                }}
              >
                <${Text} of=${option.text} />
                ${option.description && html`<small><${Text} of=${option.description} /></small>`}
              </button>
            `,
          )}
        </div>`
      }
    </div>
  `;
}

/** Closes what is open when the person clicks elsewhere or presses Escape. */
export function useOutside(root, close, active) {
  useEffect(() => {
    if (!active) return undefined;
    const onPointer = (event) => !root.current?.contains(event.target) && close();
    const onKey = (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      event.preventDefault();
      close();
    };
    document.addEventListener('pointerdown', onPointer);
    document.addEventListener('keydown', onKey, true);
    return () => {
      document.removeEventListener('pointerdown', onPointer);
      document.removeEventListener('keydown', onKey, true);
    };
  }, [active]);
}

// ── Menus with one choice ────────────────────────────────────────────────────────────────────────────────────────────

const staticChoices = (element) =>
  element.option_groups
    ? element.option_groups.map(({ label, options }) => ({ label: label.text, options: options.map(asChoice) }))
    : [{ options: element.options.map(asChoice) }];
const asChoice = (option) => ({ key: option.value, text: option.text.text, value: option });
const people = () => [
  {
    options: [...names.users.values()]
      .filter((user) => !user.isBot && !user.deactivated)
      .map((user) => ({ key: user.id, text: user.realName, value: user.id })),
  },
];
const conversations = () => [
  {
    options: [...names.channels.values()]
      .filter(({ kind }) => kind !== 'im')
      .map((channel) => ({ key: channel.id, text: `# ${channel.name}`, value: channel.id })),
  },
];

/** A select whose choices come from `choicesOf`, kept in `field`. */
const select = (field, choicesOf) =>
  function Select({ element, value, choose, busy, id, label, describedBy }) {
    const groups = choicesOf(element);
    const chosen = value[field];
    const key = chosen?.value ?? chosen ?? '';
    const all = groups.flatMap(({ options }) => options);
    const pick = (event) => choose({ [field]: all.find((one) => one.key === event.currentTarget.value)?.value });
    const list = (options) =>
      options.map((one) => html`<option value=${one.key} selected=${one.key === key}>${one.text}</option>`);
    return html`
      <select
        class="select"
        id=${id}
        aria-label=${label}
        aria-describedby=${describedBy}
        aria-busy=${busy}
        disabled=${busy}
        value=${key}
        onChange=${pick}
      >
        <option value="" disabled hidden selected=${key === ''}>
          ${element.placeholder?.text ?? 'Choose an option'}
        </option>
        ${groups.map((group) => (group.label ? html`<optgroup label=${group.label}>${list(group.options)}</optgroup>` : list(group.options)))}
      </select>
    `;
  };

/** Options asked of the app while the person types. */
function ExternalSelect({ element, block, surface, value, choose, id, label, describedBy }) {
  const [query, setQuery] = useState('');
  const [found, setFound] = useState();
  const [open, setOpen] = useState(false);
  const root = useRef();
  const least = element.min_query_length ?? 3;
  useOutside(root, () => setOpen(false), open);
  useEffect(() => {
    if (!open) return undefined;
    if (query.length < least) return setFound(undefined);
    let current = true;
    const timer = setTimeout(async () => {
      const answer = await surface.suggest(block, element, query);
      if (current) setFound(answer);
    }, 200);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [query, open]);
  const options = found?.ok
    ? (found.answer.options ?? found.answer.option_groups.flatMap((group) => group.options))
    : [];
  const chosen = value.selected_option;
  const hint =
    query.length < least
      ? `Type at least ${least} characters`
      : found === undefined
        ? 'Asking…'
        : found.ok
          ? 'No results'
          : found.error;
  return html`
    <div class="combo" ref=${root}>
      <input
        class="input"
        id=${id}
        type="text"
        role="combobox"
        aria-expanded=${open}
        aria-label=${label}
        aria-describedby=${describedBy}
        autocomplete="off"
        placeholder=${chosen?.text.text ?? element.placeholder?.text ?? 'Search'}
        value=${open ? query : (chosen?.text.text ?? '')}
        onClick=${() => setOpen(true)}
        onKeyDown=${(event) => event.key === 'ArrowDown' && setOpen(true)}
        onInput=${(event) => {
          setOpen(true);
          setQuery(event.currentTarget.value);
        }}
      />
      ${
        open &&
        html`<div class="menu" role="listbox" aria-label="Options">
          ${options.map(
            (option) => html`
              <button
                type="button"
                role="option"
                onClick=${() => {
                  choose({ selected_option: option });
                  setOpen(false);
                  setQuery('');
                }}
              >
                <${Text} of=${option.text} />
                ${option.description && html`<small><${Text} of=${option.description} /></small>`}
              </button>
            `,
          )}
          ${options.length === 0 && html`<p class="hint">${hint}</p>`}
        </div>`
      }
    </div>
  `;
}

// ── Several choices ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Boxes to tick; also what the multi-selects look like. */
const boxes = (field, choicesOf) =>
  function Boxes({ element, value, choose, describedBy, label }) {
    const chosen = value[field] ?? [];
    const keyOf = (one) => one.value ?? one;
    const toggle = (choice) => {
      const without = chosen.filter((one) => keyOf(one) !== choice.key);
      const full = element.max_selected_items !== undefined && without.length >= element.max_selected_items;
      if (without.length < chosen.length) choose({ [field]: without });
      else if (!full) choose({ [field]: [...chosen, choice.value] });
    };
    return html`
      <div class="choices" role="group" aria-label=${label} aria-describedby=${describedBy}>
        ${choicesOf(element).flatMap((group) => [
          group.label && html`<strong>${group.label}</strong>`,
          ...group.options.map(
            (choice) => html`
              <label>
                <input
                  type="checkbox"
                  checked=${chosen.some((one) => keyOf(one) === choice.key)}
                  onChange=${() => toggle(choice)}
                />
                <${Choice} choice=${choice} />
              </label>
            `,
          ),
        ])}
      </div>
    `;
  };

function Choice({ choice }) {
  return html`<span>
    ${choice.value?.text ? html`<${Text} of=${choice.value.text} />` : choice.text}
    ${choice.value?.description && html`<small><${Text} of=${choice.value.description} /></small>`}
  </span>`;
}

function Radios({ element, value, choose, id, describedBy, label }) {
  const name = id ?? `${element.action_id}-radio`;
  return html`
    <div class="choices" role="radiogroup" aria-label=${label} aria-describedby=${describedBy}>
      ${staticChoices(element)[0].options.map(
        (choice) => html`
          <label>
            <input
              type="radio"
              name=${name}
              checked=${value.selected_option?.value === choice.key}
              onChange=${() => choose({ selected_option: choice.value })}
            />
            <${Choice} choice=${choice} />
          </label>
        `,
      )}
    </div>
  `;
}

// ── Inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Typed text; with `dispatch_action` Enter sends it. */
const typed = (type) =>
  function Typed({ element, block, value, remember, ask, id, label, describedBy }) {
    const onKeyDown = (event) => {
      if (event.key === 'Enter' && block.dispatch_action && !element.multiline) {
        event.preventDefault();
        ask({ value: event.currentTarget.value });
      }
    };
    const props = {
      id,
      class: 'input',
      'aria-label': label,
      'aria-describedby': describedBy,
      placeholder: element.placeholder?.text,
      maxlength: element.max_length,
      autofocus: element.focus_on_load,
      value: value.value ?? '',
      onInput: (event) => remember({ value: event.currentTarget.value }),
      onKeyDown,
    };
    return element.multiline
      ? html`<textarea rows="4" ...${props}></textarea>`
      : html`<input type=${type} ...${props} />`;
  };

const picker = (type, field, read, write) =>
  function Picker({ value, choose, id, label, describedBy }) {
    const shown = value[field] ? read(value[field]) : '';
    const pick = (event) => event.currentTarget.value && choose({ [field]: write(event.currentTarget.value) });
    return html`<input
      class="input short"
      type=${type}
      id=${id}
      aria-label=${label}
      aria-describedby=${describedBy}
      value=${shown}
      onChange=${pick}
    />`;
  };
const same = (value) => value;
const localTime = (seconds) => {
  const date = new Date(seconds * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};

function ImageElement({ element }) {
  return html`<img class="thumb" src=${element.image_url} alt=${element.alt_text} loading="lazy" />`;
}

const SHOWN = {
  button: Button,
  overflow: Overflow,
  image: ImageElement,
  static_select: select('selected_option', staticChoices),
  users_select: select('selected_user', people),
  conversations_select: select('selected_conversation', conversations),
  channels_select: select('selected_channel', conversations),
  external_select: ExternalSelect,
  multi_static_select: boxes('selected_options', staticChoices),
  multi_users_select: boxes('selected_users', people),
  multi_conversations_select: boxes('selected_conversations', conversations),
  multi_channels_select: boxes('selected_channels', conversations),
  checkboxes: boxes('selected_options', staticChoices),
  radio_buttons: Radios,
  plain_text_input: typed('text'),
  number_input: typed('text'),
  email_text_input: typed('email'),
  url_text_input: typed('url'),
  datepicker: picker('date', 'selected_date', same, same),
  timepicker: picker('time', 'selected_time', same, same),
  datetimepicker: picker('datetime-local', 'selected_date_time', localTime, (text) =>
    Math.floor(new Date(text).getTime() / 1000),
  ),
};

/** What an element starts with, in Slack's shape. */
export function initialValue(element) {
  const pairs = {
    initial_value: 'value',
    initial_option: 'selected_option',
    initial_options: 'selected_options',
    initial_user: 'selected_user',
    initial_users: 'selected_users',
    initial_conversation: 'selected_conversation',
    initial_conversations: 'selected_conversations',
    initial_channel: 'selected_channel',
    initial_channels: 'selected_channels',
    initial_date: 'selected_date',
    initial_time: 'selected_time',
    initial_date_time: 'selected_date_time',
  };
  const found = Object.entries(pairs).find(([initial]) => element[initial] !== undefined);
  return found && { [found[1]]: element[found[0]] };
}
