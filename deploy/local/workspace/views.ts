/** Owns the modals that are open, as a stack for each person, and the form that views have in Slack's API. */
import { randomBytes } from 'node:crypto';
import { interactiveElements } from './limits.ts';
import { APP_ID, isJson, TEAM_ID, textIn, type Json } from './state.ts';

/** A stack has at most so many modals. */
export const STACK_MAX = 3;

export interface OpenView {
  readonly id: string;
  readonly user: string;
  /** The browser tab it opened in; undefined when it was not opened by a tab. */
  readonly client: string | undefined;
  readonly rootId: string;
  readonly previousId: string | undefined;
  view: Json;
  hash: string;
}

/** What a person put into inputs: block id, action id, and Slack's fields such as `value` or `selected_option`. */
export type Values = Readonly<Record<string, Readonly<Record<string, Json>>>>;

export class Views {
  private readonly open_ = new Map<string, OpenView>();
  private readonly listeners = new Set<(view: OpenView) => void>();

  onChange(listener: (view: OpenView) => void): void {
    this.listeners.add(listener);
  }

  find(id: string): OpenView | undefined {
    return this.open_.get(id);
  }

  findExternal(externalId: string): OpenView | undefined {
    return [...this.open_.values()].find((view) => view.view['external_id'] === externalId);
  }

  /** Bottom first. A tab sees its own modals and those that no tab opened. */
  stack(user: string, client?: string): OpenView[] {
    return [...this.open_.values()].filter(
      (view) => view.user === user && (client === undefined || view.client === undefined || view.client === client),
    );
  }

  /** Opens a new stack; a person has one stack a tab. */
  open(user: string, client: string | undefined, view: Json): OpenView {
    for (const old of this.stack(user)) if (old.client === client) this.open_.delete(old.id);
    const id = newViewId();
    return this.add({ id, user, client, rootId: id, previousId: undefined, view, hash: newHash() });
  }

  /** Undefined when the stack is full. */
  push(below: OpenView, view: Json): OpenView | undefined {
    if (this.stackOf(below).length >= STACK_MAX) return undefined;
    const { user, client, rootId } = below;
    return this.add({ id: newViewId(), user, client, rootId, previousId: below.id, view, hash: newHash() });
  }

  update(open: OpenView, view: Json): void {
    open.view = view;
    open.hash = newHash();
    this.tell(open);
  }

  /** Closes this one and all above it, or with `all` the whole stack; returns what was closed. */
  close(open: OpenView, all: boolean): OpenView[] {
    const stack = this.stackOf(open);
    const closed = all ? stack : stack.slice(stack.indexOf(open));
    for (const view of closed) this.open_.delete(view.id);
    this.tell(open);
    return closed;
  }

  private stackOf(open: OpenView): OpenView[] {
    return [...this.open_.values()].filter((view) => view.rootId === open.rootId);
  }

  private add(open: OpenView): OpenView {
    this.open_.set(open.id, open);
    this.tell(open);
    return open;
  }

  private tell(open: OpenView): void {
    for (const listener of this.listeners) listener(open);
  }
}

export function newViewId(): string {
  return `V${randomBytes(5).toString('hex').toUpperCase()}`;
}

export function newHash(): string {
  return `${Math.floor(Date.now() / 1000)}.${randomBytes(4).toString('hex')}`;
}

/** Gives every block a block_id and every element an action_id, as Slack does. */
export function withIds(blocks: readonly Json[]): Json[] {
  return structuredClone(blocks as Json[]).map((block) => {
    block['block_id'] ??= randomBytes(3).toString('base64url');
    for (const element of interactiveElements(block)) element['action_id'] ??= randomBytes(3).toString('base64url');
    return block;
  });
}

export function blocksOf(view: Json): Json[] {
  return Array.isArray(view['blocks']) ? view['blocks'].filter(isJson) : [];
}

/** A modal as Slack's API shows it. */
export function asApiView(open: OpenView, botId: string, values: Values = {}): Json {
  const { view } = open;
  return {
    id: open.id,
    team_id: TEAM_ID,
    type: view['type'],
    title: view['title'],
    submit: view['submit'] ?? null,
    close: view['close'] ?? null,
    blocks: blocksOf(view),
    private_metadata: view['private_metadata'] ?? '',
    callback_id: view['callback_id'] ?? '',
    external_id: view['external_id'] ?? '',
    state: { values: stateOf(blocksOf(view), values) },
    hash: open.hash,
    clear_on_close: view['clear_on_close'] ?? false,
    notify_on_close: view['notify_on_close'] ?? false,
    previous_view_id: open.previousId ?? null,
    root_view_id: open.rootId,
    app_id: APP_ID,
    app_installed_team_id: TEAM_ID,
    bot_id: botId,
  };
}

/** Which field of a state or action holds what was chosen, and which field of the element says how it starts. */
const CHOICES: Readonly<Record<string, readonly [field: string, initial: string]>> = {
  plain_text_input: ['value', 'initial_value'],
  number_input: ['value', 'initial_value'],
  email_text_input: ['value', 'initial_value'],
  url_text_input: ['value', 'initial_value'],
  static_select: ['selected_option', 'initial_option'],
  external_select: ['selected_option', 'initial_option'],
  radio_buttons: ['selected_option', 'initial_option'],
  overflow: ['selected_option', ''],
  checkboxes: ['selected_options', 'initial_options'],
  multi_static_select: ['selected_options', 'initial_options'],
  multi_external_select: ['selected_options', 'initial_options'],
  users_select: ['selected_user', 'initial_user'],
  multi_users_select: ['selected_users', 'initial_users'],
  conversations_select: ['selected_conversation', 'initial_conversation'],
  multi_conversations_select: ['selected_conversations', 'initial_conversations'],
  channels_select: ['selected_channel', 'initial_channel'],
  multi_channels_select: ['selected_channels', 'initial_channels'],
  datepicker: ['selected_date', 'initial_date'],
  timepicker: ['selected_time', 'initial_time'],
  datetimepicker: ['selected_date_time', 'initial_date_time'],
};

/** The one field of an action or state entry that this element may have, from what the page sent; else its start. */
export function choiceOf(element: Json, sent: Json | undefined): Json {
  const names = CHOICES[String(element['type'])];
  if (names === undefined) return {};
  const [field, initial] = names;
  const chosen = sent !== undefined && field in sent ? sent[field] : element[initial];
  const empty = chosen === undefined || chosen === '';
  return {
    [field]: empty ? (field.startsWith('selected_') && field.endsWith('s') ? [] : null) : ownOption(element, chosen),
  };
}

/** Options that the element lists itself are taken from there, not from what the page claims they are. */
function ownOption(element: Json, chosen: unknown): unknown {
  if (Array.isArray(chosen)) return chosen.map((one) => ownOption(element, one));
  if (!isJson(chosen)) return chosen;
  return optionsOf(element).find((option) => option['value'] === chosen['value']) ?? chosen;
}

function optionsOf(element: Json): Json[] {
  const groups = Array.isArray(element['option_groups']) ? element['option_groups'].filter(isJson) : [];
  return [element, ...groups].flatMap((from) => (Array.isArray(from['options']) ? from['options'].filter(isJson) : []));
}

/** `state.values` of a view or message: an entry for every element that holds a value. */
export function stateOf(blocks: readonly Json[], values: Values): Json {
  const state: Record<string, Json> = {};
  for (const block of blocks) {
    for (const element of interactiveElements(block)) {
      const type = String(element['type']);
      if (CHOICES[type] === undefined || type === 'overflow') continue;
      const [blockId, actionId] = [String(block['block_id']), String(element['action_id'])];
      state[blockId] = {
        ...state[blockId],
        [actionId]: { type, ...choiceOf(element, values[blockId]?.[actionId]) },
      };
    }
  }
  return state;
}

/** What Slack's own form says before it asks the app: block id and a sentence. Empty when all is well. */
export function inputErrors(blocks: readonly Json[], values: Values): Record<string, string> {
  const errors: Record<string, string> = {};
  for (const block of blocks) {
    const element = block['element'];
    if (block['type'] !== 'input' || !isJson(element)) continue;
    const blockId = String(block['block_id']);
    const chosen = Object.values(choiceOf(element, values[blockId]?.[String(element['action_id'])]))[0];
    const error = inputError(block, element, chosen);
    if (error !== undefined) errors[blockId] = error;
  }
  return errors;
}

function inputError(block: Json, element: Json, chosen: unknown): string | undefined {
  if (chosen === null || (Array.isArray(chosen) && chosen.length === 0)) {
    return block['optional'] === true ? undefined : 'Please complete this required field.';
  }
  if (typeof chosen !== 'string') return undefined;
  const { min_length: min, max_length: max, type } = element;
  if (typeof min === 'number' && chosen.length < min) return `Please enter at least ${min} characters.`;
  if (typeof max === 'number' && chosen.length > max) return `Please enter at most ${max} characters.`;
  if (type === 'email_text_input' && !/^\S+@\S+\.\S+$/.test(chosen)) return 'Please enter a valid email address.';
  if (type === 'url_text_input' && !URL.canParse(chosen)) return 'Please enter a valid URL.';
  if (type === 'number_input') return numberError(element, chosen);
  return undefined;
}

function numberError(element: Json, chosen: string): string | undefined {
  const number = Number(chosen);
  if (Number.isNaN(number)) return 'Please enter a number.';
  if (element['is_decimal_allowed'] !== true && !Number.isInteger(number)) return 'Please enter a whole number.';
  if (element['min_value'] !== undefined && number < Number(element['min_value'])) {
    return `Please enter a number of at least ${textIn(element, 'min_value')}.`;
  }
  if (element['max_value'] !== undefined && number > Number(element['max_value'])) {
    return `Please enter a number of at most ${textIn(element, 'max_value')}.`;
  }
  return undefined;
}
