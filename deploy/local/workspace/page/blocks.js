/** Owns showing Block Kit: each block type, and the surface that remembers what people put into it. */
import { useState } from 'preact/hooks';
import { Element, initialValue } from './elements.js';
import { markdownToMrkdwn } from './mrkdwn.js';
import { html, Mrkdwn, Plain, RichText, Text } from './text.js';

/** Blocks of a message, modal or Home. `errors` has sentences by block id. */
export function Blocks({ blocks, surface, errors = {} }) {
  return html`<div class="blocks">
    ${blocks.map((block) => {
      const Shown = BLOCKS[block.type];
      if (Shown === undefined) return html`<p class="unsupported">This block can't be shown: ${block.type}</p>`;
      return html`<${Shown} key=${block.block_id} block=${block} surface=${surface} error=${errors[block.block_id]} />`;
    })}
  </div>`;
}

/**
 * Where blocks stand: `place` is sent along with what people do (`{channel, ts}`, `{viewId}` or `{home: true}`),
 * `post` sends it, `toast` tells what went wrong. Values are kept by block id and action id.
 */
export function useSurface(place, post, toast) {
  const [values, setValues] = useState({});
  const [busy, setBusy] = useState({});
  const key = (block, element) => `${block.block_id} ${element.action_id}`;
  const withChoice = (block, element, choice) => ({
    ...values,
    [block.block_id]: { ...values[block.block_id], [element.action_id]: choice },
  });
  return {
    values,
    valueOf: (block, element) => values[block.block_id]?.[element.action_id] ?? initialValue(element),
    setValue: (block, element, choice) =>
      setValues((old) => ({ ...old, [block.block_id]: { ...old[block.block_id], [element.action_id]: choice } })),
    isBusy: (block, element) => busy[key(block, element)] === true,
    async act(block, element, choice) {
      setBusy((old) => ({ ...old, [key(block, element)]: true }));
      const body = { blockId: block.block_id, actionId: element.action_id, choice };
      const answer = await post('act', { ...place, ...body, values: withChoice(block, element, choice) });
      setBusy((old) => ({ ...old, [key(block, element)]: false }));
      if (!answer.ok) toast(answer.error);
    },
    suggest: (block, element, value) =>
      post('suggest', { ...place, blockId: block.block_id, actionId: element.action_id, value }),
  };
}

const LONG_TEXT = 700;
const LONG_LINES = 14;

function Section({ block, surface }) {
  const [open, setOpen] = useState(block.expand === true);
  const text = block.text?.text ?? '';
  const isLong = text.length > LONG_TEXT || text.split('\n').length > LONG_LINES;
  return html`
    <div class="section">
      <div class="section-body">
        ${
          block.text &&
          html`<div class=${isLong && !open ? 'section-text folded' : 'section-text'}>
            <${Text} of=${block.text} />
          </div>`
        }
        ${
          isLong &&
          html`<button type="button" class="link" aria-expanded=${open} onClick=${() => setOpen(!open)}>
            ${open ? 'Show less' : 'Show more'}
          </button>`
        }
        ${block.fields && html`<div class="fields">${block.fields.map((field) => html`<div><${Text} of=${field} /></div>`)}</div>`}
      </div>
      ${block.accessory && html`<div class="accessory"><${Element} element=${block.accessory} block=${block} surface=${surface} /></div>`}
    </div>
  `;
}

function Context({ block }) {
  return html`<div class="context">
    ${block.elements.map((element) =>
      element.type === 'image'
        ? html`<img src=${element.image_url} alt=${element.alt_text} loading="lazy" />`
        : html`<span><${Text} of=${element} /></span>`,
    )}
  </div>`;
}

function Actions({ block, surface }) {
  return html`<div class="actions">
    ${block.elements.map((element) => html`<${Element} key=${element.action_id} element=${element} block=${block} surface=${surface} />`)}
  </div>`;
}

const GROUPED = [
  'checkboxes',
  'radio_buttons',
  'multi_static_select',
  'multi_users_select',
  'multi_conversations_select',
  'multi_channels_select',
];

function Input({ block, surface, error }) {
  const id = `input-${block.block_id}`;
  const isGroup = GROUPED.includes(block.element.type);
  const describedBy = [block.hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ') || undefined;
  const label = html`<${Plain}
      text=${block.label.text}
    />${block.optional && html` <small class="optional">(optional)</small>`}`;
  return html`
    <div
      class=${error ? 'field invalid' : 'field'}
      role=${isGroup ? 'group' : undefined}
      aria-labelledby=${isGroup ? `${id}-label` : undefined}
    >
      ${isGroup ? html`<div class="label" id=${`${id}-label`}>${label}</div>` : html`<label class="label" for=${id}>${label}</label>`}
      <${Element} element=${block.element} block=${block} surface=${surface} inputId=${id} describedBy=${describedBy} />
      ${error && html`<p class="error" id=${`${id}-error`} role="alert">${error}</p>`}
      ${block.hint && html`<p class="hint" id=${`${id}-hint`}><${Text} of=${block.hint} /></p>`}
    </div>
  `;
}

function Image({ block }) {
  return html`<figure>
    ${block.title && html`<figcaption><${Text} of=${block.title} /></figcaption>`}
    <img src=${block.image_url} alt=${block.alt_text} loading="lazy" />
  </figure>`;
}

function Table({ block }) {
  const settings = block.column_settings ?? [];
  const cell = (content, column, Tag) => html`
    <${Tag}
      class=${`align-${settings[column]?.align ?? 'left'} ${settings[column]?.is_wrapped ? 'wrapped' : ''}`}
      scope=${Tag === 'th' ? 'col' : undefined}
    >
      ${content.type === 'rich_text' ? html`<${RichText} elements=${content.elements} />` : html`<${Plain} text=${content.text} />`}
    <//>
  `;
  const [head = [], ...rows] = block.rows;
  return html`<div class="table-box" tabindex="0" role="region" aria-label="Table">
    <table>
      <thead>
        <tr>
          ${head.map((content, column) => cell(content, column, 'th'))}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${row.map((content, column) => cell(content, column, 'td'))}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

const STATUS = {
  pending: ['○', 'pending'],
  in_progress: ['◐', 'in progress'],
  complete: ['✓', 'complete'],
  error: ['✕', 'failed'],
};

function Task({ block }) {
  const [sign, word] = STATUS[block.status];
  return html`<div class=${`task ${block.status}`}>
    <span class="task-sign" role="img" aria-label=${word}>${sign}</span>
    <div>
      ${block.title}${block.details && html`<${RichText} elements=${block.details.elements} />`}${block.output && html`<${RichText} elements=${block.output.elements} />`}
    </div>
  </div>`;
}

function Plan({ block }) {
  return html`<div class="plan">
    <strong>${block.title}</strong>${(block.tasks ?? []).map((task) => html`<${Task} block=${task} />`)}
  </div>`;
}

function Card({ block, surface }) {
  return html`<div class="card">
    ${block.hero_image && html`<img src=${block.hero_image.image_url} alt=${block.hero_image.alt_text} />`}
    ${block.title && html`<strong><${Text} of=${block.title} /></strong>`}
    ${block.subtitle && html`<div class="muted"><${Text} of=${block.subtitle} /></div>`}
    ${block.body && html`<div><${Text} of=${block.body} /></div>`}
    ${block.actions && html`<div class="actions">${block.actions.map((element) => html`<${Element} element=${element} block=${block} surface=${surface} />`)}</div>`}
  </div>`;
}

const BLOCKS = {
  section: Section,
  divider: () => html`<hr />`,
  header: ({ block }) => html`<h3><${Plain} text=${block.text.text} /></h3>`,
  context: Context,
  actions: Actions,
  input: Input,
  image: Image,
  rich_text: ({ block }) => html`<${RichText} elements=${block.elements} />`,
  markdown: ({ block }) => html`<div class="section-text"><${Mrkdwn} text=${markdownToMrkdwn(block.text)} /></div>`,
  table: Table,
  task_card: Task,
  plan: Plan,
  card: Card,
};
