/**
 * Owns what Slack takes and what it refuses: messages, modals and Home tabs held against Slack's limits and types.
 * Pure. Sources: the Block Kit reference at docs.slack.dev, the types of @slack/types, and the refusals quoted in
 * slackapi/bolt-js issues 2509 and 2867 (`msg_blocks_too_long`).
 */

/** One thing Slack would refuse. `path` is a JSON pointer such as `/blocks/0/text/text`. */
export interface Problem {
  /** The `error` that Slack answers: `invalid_blocks`, `no_text`, `msg_too_long`, `invalid_arguments` … */
  readonly code: string;
  readonly path: string;
  readonly message: string;
}

export interface Rules {
  /** Take `plan`, `task_card` and `card`; a workspace that is not that new refuses them. Default false. */
  readonly newestBlocks?: boolean;
}

export interface MessageContent {
  readonly text?: string | undefined;
  readonly blocks?: unknown;
  readonly attachments?: unknown;
  readonly metadata?: unknown;
}

export const MESSAGE_TEXT_MAX = 40_000;
/** chat.update takes less than chat.postMessage. */
export const UPDATE_TEXT_MAX = 4_000;
export const MESSAGE_BLOCKS_MAX = 50;
export const VIEW_BLOCKS_MAX = 100;
/** All blocks of one message as JSON; measured by users of Slack, not documented. */
export const MESSAGE_BLOCKS_CHARS = 13_200;
const MARKDOWN_CHARS = 12_000;
const TABLE_CHARS = 10_000;
const VIEW_CHARS = 250_000;
const METADATA_CHARS = 8_000;

type Report = (path: string, message: string, code?: string) => void;
type Check = (value: unknown, path: string, report: Report) => void;
type Fields = Readonly<Record<string, Check>>;
type Surface = 'message' | 'modal' | 'home';

/** Says what Slack would refuse in a message; empty when it takes it. `textMax` differs between post and update. */
export function validateMessage(
  content: MessageContent,
  rules: Rules = {},
  textMax: number = MESSAGE_TEXT_MAX,
): Problem[] {
  const { problems, report } = collector('invalid_blocks');
  const { text, blocks, attachments, metadata } = content;
  if (isEmpty(text) && isEmpty(blocks) && isEmpty(attachments)) report('/text', 'a message needs text', 'no_text');
  if ((text ?? '').length > textMax) report('/text', `must be less than ${textMax + 1} characters`, 'msg_too_long');
  if (blocks !== undefined) checkMessageBlocks(blocks, rules, report);
  if (attachments !== undefined) checkAttachments(attachments, rules, report);
  if (metadata !== undefined) checkMetadata(metadata, report);
  return problems;
}

/** Says what Slack would refuse in a modal or Home tab; empty when it takes it. */
export function validateView(view: unknown, rules: Rules = {}): Problem[] {
  const { problems, report } = collector('invalid_arguments');
  if (!isObject(view)) {
    report('/view', 'must be an object');
    return problems;
  }
  if (JSON.stringify(view).length > VIEW_CHARS) {
    report('/view', `must be less than ${VIEW_CHARS + 1} characters`, 'view_too_large');
  }
  if (view['type'] === 'modal') {
    object(MODAL.required, MODAL.optional)(view, '/view', report);
    checkSurfaceBlocks(view['blocks'], '/view/blocks', 'modal', rules, report);
    const hasInput = Array.isArray(view['blocks']) && view['blocks'].some((block) => typeOf(block) === 'input');
    if (hasInput && view['submit'] === undefined) report('/view', 'missing required field: submit');
  } else if (view['type'] === 'home') {
    object(HOME.required, HOME.optional)(view, '/view', report);
    checkSurfaceBlocks(view['blocks'], '/view/blocks', 'home', rules, report);
  } else {
    report('/view/type', 'must be one of: modal, home');
  }
  return problems;
}

/** Says what Slack would refuse in the options that an app gives for an external select. */
export function validateSuggestions(answer: unknown): Problem[] {
  const { problems, report } = collector('invalid_arguments');
  if (!isObject(answer)) report('', 'must be an object with options or option_groups');
  else checkOptionLists(answer, '', report);
  return problems;
}

/** Problems as Slack words them in `response_metadata.messages`, without the `[ERROR]`. */
export function describe(problem: Problem): string {
  return `${problem.message} [json-pointer:${problem.path}]`;
}

function collector(defaultCode: string): { problems: Problem[]; report: Report } {
  const problems: Problem[] = [];
  const report: Report = (path, message, code = defaultCode) => problems.push({ code, path, message });
  return { problems, report };
}

// ── Small checks that the tables below are made of ───────────────────────────────────────────────────────────────────

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function typeOf(value: unknown): string | undefined {
  return isObject(value) && typeof value['type'] === 'string' ? value['type'] : undefined;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === '' || (Array.isArray(value) && value.length === 0);
}

const anything: Check = () => undefined;

const boolean: Check = (value, path, report) => {
  if (typeof value !== 'boolean') report(path, 'must be a boolean');
};

const oneOf =
  (...allowed: readonly string[]): Check =>
  (value, path, report) => {
    if (typeof value !== 'string' || !allowed.includes(value)) report(path, `must be one of: ${allowed.join(', ')}`);
  };

const string =
  (max: number, min = 1): Check =>
  (value, path, report) => {
    if (typeof value !== 'string') {
      report(path, 'must be a string');
      return;
    }
    if (value.length < min) report(path, `must be more than ${min - 1} characters`);
    if (value.length > max) report(path, `must be less than ${max + 1} characters`);
  };

const matching =
  (pattern: RegExp, what: string): Check =>
  (value, path, report) => {
    if (typeof value !== 'string' || !pattern.test(value)) report(path, `must be ${what}`);
  };

const integer =
  (min: number, max: number): Check =>
  (value, path, report) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) report(path, 'must be an integer');
    else if (value < min || value > max) report(path, `must be between ${min} and ${max}`);
  };

const url: Check = (value, path, report) => {
  string(3000)(value, path, report);
  if (typeof value === 'string' && !/^(https?|mailto|slack):/.test(value)) report(path, 'invalid_url');
};

const list =
  (check: Check, max: number, min = 1): Check =>
  (value, path, report) => {
    if (!Array.isArray(value)) {
      report(path, 'must be an array');
      return;
    }
    if (value.length < min) report(path, `no less than ${min} items allowed`);
    if (value.length > max) report(path, `no more than ${max} items allowed`);
    value.forEach((item, index) => check(item, `${path}/${index}`, report));
  };

/** An object with exactly these fields; `type` is looked at by who chose the check. */
const object =
  (required: Fields, optional: Fields = {}): Check =>
  (value, path, report) => {
    if (!isObject(value)) {
      report(path, 'must be an object');
      return;
    }
    for (const name of Object.keys(required)) {
      if (value[name] === undefined) report(path, `missing required field: ${name}`);
    }
    for (const [name, field] of Object.entries(value)) {
      const check = Object.hasOwn(required, name) ? required[name] : Object.hasOwn(optional, name) && optional[name];
      if (check) {
        if (field !== undefined) check(field, `${path}/${name}`, report);
      } else if (name !== 'type' && field !== undefined) report(path, `invalid additional property: ${name}`);
    }
  };

const plainText =
  (max: number): Check =>
  (value, path, report) => {
    if (typeOf(value) !== 'plain_text') {
      report(path, 'must be a plain_text object');
      return;
    }
    object({ text: string(max) }, { emoji: boolean })(value, path, report);
  };

const anyText =
  (max: number): Check =>
  (value, path, report) => {
    if (typeOf(value) === 'plain_text') {
      plainText(max)(value, path, report);
      return;
    }
    if (typeOf(value) !== 'mrkdwn') {
      report(path, 'must be a plain_text or mrkdwn object');
      return;
    }
    object({ text: string(max) }, { verbatim: boolean })(value, path, report);
  };

// ── Elements ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const confirm = object(
  { text: anyText(300) },
  {
    title: plainText(100),
    confirm: plainText(30),
    deny: plainText(30),
    style: oneOf('primary', 'danger'),
  },
);

const option = (text: Check): Check =>
  object({ text, value: string(75) }, { description: anyText(75), url: string(3000) });
const plainOption = option(plainText(75));
const richOption = option(anyText(75));
const optionGroup = object({ label: plainText(75), options: list(plainOption, 100) });

const shared: Fields = { action_id: string(255), confirm, focus_on_load: boolean };
const select: Fields = { ...shared, placeholder: plainText(150) };
const multiSelect: Fields = { ...select, max_selected_items: integer(1, 1000) };
const staticLists: Fields = { options: list(plainOption, 100), option_groups: list(optionGroup, 100) };
const slackId = matching(/^[A-Z0-9]{2,}$/, 'an id');
const ids = list(slackId, 1000, 0);
const conversations: Fields = {
  default_to_current_conversation: boolean,
  response_url_enabled: boolean,
  filter: object(
    {},
    {
      include: list(oneOf('im', 'mpim', 'private', 'public'), 4),
      exclude_external_shared_channels: boolean,
      exclude_bot_users: boolean,
    },
  ),
};
const date = matching(/^\d{4}-\d\d-\d\d$/, 'a date as YYYY-MM-DD');
const time = matching(/^\d\d:\d\d$/, 'a time as HH:mm');
const dispatchConfig = object({}, { trigger_actions_on: list(oneOf('on_enter_pressed', 'on_character_entered'), 2) });
const typedInput: Fields = {
  ...select,
  initial_value: string(3000, 0),
  dispatch_action_config: dispatchConfig,
};
const imageSource: Fields = { image_url: url, slack_file: anything };

const withOptions =
  (check: Check): Check =>
  (value, path, report) => {
    check(value, path, report);
    if (isObject(value)) checkOptionLists(value, path, report);
  };

/** Exactly one of `options` and `option_groups`. */
function checkOptionLists(value: Record<string, unknown>, path: string, report: Report): void {
  const { options, option_groups: groups } = value;
  if ((options === undefined) === (groups === undefined)) {
    report(path, 'one of options and option_groups is required');
    return;
  }
  if (options !== undefined) list(plainOption, 100, 0)(options, `${path}/options`, report);
  else list(optionGroup, 100, 0)(groups, `${path}/option_groups`, report);
}

const imageElement: Check = (value, path, report) => {
  object({ alt_text: string(2000) }, imageSource)(value, path, report);
  requireImageSource(value, path, report);
};

function requireImageSource(value: unknown, path: string, report: Report): void {
  if (isObject(value) && (value['image_url'] === undefined) === (value['slack_file'] === undefined)) {
    report(path, 'one of image_url and slack_file is required');
  }
}

const ELEMENTS: Readonly<Record<string, Check>> = {
  button: object(
    { text: plainText(75) },
    {
      action_id: string(255),
      confirm,
      value: string(2000, 0),
      url,
      style: oneOf('primary', 'danger'),
      accessibility_label: string(75),
    },
  ),
  image: imageElement,
  static_select: withOptions(object({}, { ...select, ...staticLists, initial_option: plainOption })),
  multi_static_select: withOptions(
    object({}, { ...multiSelect, ...staticLists, initial_options: list(plainOption, 100) }),
  ),
  external_select: object({}, { ...select, min_query_length: integer(0, 255), initial_option: plainOption }),
  multi_external_select: object(
    {},
    { ...multiSelect, min_query_length: integer(0, 255), initial_options: list(plainOption, 100) },
  ),
  users_select: object({}, { ...select, initial_user: slackId }),
  multi_users_select: object({}, { ...multiSelect, initial_users: ids }),
  conversations_select: object({}, { ...select, ...conversations, initial_conversation: slackId }),
  multi_conversations_select: object({}, { ...multiSelect, ...conversations, initial_conversations: ids }),
  channels_select: object({}, { ...select, response_url_enabled: boolean, initial_channel: slackId }),
  multi_channels_select: object({}, { ...multiSelect, initial_channels: ids }),
  overflow: object({ options: list(plainOption, 5) }, { action_id: string(255), confirm }),
  radio_buttons: object({ options: list(richOption, 10) }, { ...shared, initial_option: richOption }),
  checkboxes: object({ options: list(richOption, 10) }, { ...shared, initial_options: list(richOption, 10) }),
  datepicker: object({}, { ...select, initial_date: date }),
  timepicker: object({}, { ...select, initial_time: time, timezone: string(100) }),
  datetimepicker: object({}, { ...shared, initial_date_time: integer(1_000_000_000, 9_999_999_999) }),
  plain_text_input: object(
    {},
    { ...typedInput, multiline: boolean, min_length: integer(0, 3000), max_length: integer(1, 3000) },
  ),
  number_input: object(
    { is_decimal_allowed: boolean },
    { ...typedInput, min_value: string(30), max_value: string(30) },
  ),
  email_text_input: object({}, typedInput),
  url_text_input: object({}, typedInput),
};

const SELECTS = [
  'static_select',
  'external_select',
  'users_select',
  'conversations_select',
  'channels_select',
  'multi_static_select',
  'multi_external_select',
  'multi_users_select',
  'multi_conversations_select',
  'multi_channels_select',
];
const PICKERS = [...SELECTS, 'checkboxes', 'radio_buttons', 'datepicker', 'timepicker'];
const IN_SECTION = [...PICKERS, 'button', 'image', 'overflow'];
const IN_ACTIONS = [...PICKERS, 'button', 'overflow', 'datetimepicker'];
const IN_INPUT = [
  ...PICKERS,
  'datetimepicker',
  'plain_text_input',
  'number_input',
  'email_text_input',
  'url_text_input',
];

const element =
  (allowed: readonly string[]): Check =>
  (value, path, report) => {
    const type = typeOf(value);
    const check = type !== undefined && allowed.includes(type) ? ELEMENTS[type] : undefined;
    if (check === undefined) {
      report(path, `unsupported type: ${type ?? 'none'}`);
      return;
    }
    check(value, path, report);
  };

// ── Rich text and tables ─────────────────────────────────────────────────────────────────────────────────────────────

const style = object(
  {},
  {
    bold: boolean,
    italic: boolean,
    strike: boolean,
    code: boolean,
    underline: boolean,
    highlight: boolean,
    client_highlight: boolean,
    unlink: boolean,
  },
);

const RICH_TEXT_LEAVES: Readonly<Record<string, Check>> = {
  text: object({ text: string(40_000) }, { style }),
  link: object({ url: string(3000) }, { text: string(40_000), unsafe: boolean, style }),
  emoji: object({ name: string(255) }, { unicode: string(255), style, skin_tone: integer(1, 6), url: string(3000) }),
  user: object({ user_id: slackId }, { style }),
  usergroup: object({ usergroup_id: slackId }, { style }),
  channel: object({ channel_id: slackId }, { style }),
  broadcast: object({ range: oneOf('here', 'channel', 'everyone') }, { style }),
  date: object(
    { timestamp: integer(0, 9_999_999_999), format: string(1000) },
    { url: string(3000), fallback: string(1000), style },
  ),
  color: object({ value: string(20) }, { style }),
};

const byType =
  (table: Readonly<Record<string, Check>>): Check =>
  (value, path, report) => {
    const type = typeOf(value);
    const check = type === undefined || !Object.hasOwn(table, type) ? undefined : table[type];
    if (check === undefined) report(path, `unsupported type: ${type ?? 'none'}`);
    else check(value, path, report);
  };

const leaves = list(byType(RICH_TEXT_LEAVES), 1000, 0);
const richSection = object({ elements: leaves });
const RICH_TEXT_PARTS: Readonly<Record<string, Check>> = {
  rich_text_section: richSection,
  rich_text_preformatted: object({ elements: leaves }, { border: integer(0, 1), language: string(50) }),
  rich_text_quote: object({ elements: leaves }, { border: integer(0, 1) }),
  rich_text_list: object(
    {
      style: oneOf('bullet', 'ordered'),
      elements: list(byType({ rich_text_section: richSection }), 1000),
    },
    { indent: integer(0, 8), border: integer(0, 1), offset: integer(0, 10_000) },
  ),
};
const richText = object({ elements: list(byType(RICH_TEXT_PARTS), 1000) }, { block_id: string(255) });

const tableCell = byType({
  raw_text: object({ text: string(10_000) }),
  raw_number: object({ value: anything, text: string(10_000) }),
  rich_text: richText,
});
const columnSetting: Check = (value, path, report) => {
  if (value === null) return;
  object({}, { align: oneOf('left', 'center', 'right'), is_wrapped: boolean })(value, path, report);
};

// ── Blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const blockId: Fields = { block_id: string(255) };

const section: Check = (value, path, report) => {
  object(
    {},
    {
      ...blockId,
      text: anyText(3000),
      fields: list(anyText(2000), 10),
      accessory: element(IN_SECTION),
      expand: boolean,
    },
  )(value, path, report);
  if (isObject(value) && value['text'] === undefined && value['fields'] === undefined) {
    report(path, 'missing required field: text');
  }
};

const contextElement: Check = (value, path, report) => {
  if (typeOf(value) === 'image') imageElement(value, path, report);
  else anyText(3000)(value, path, report);
};

const imageBlock: Check = (value, path, report) => {
  object({ alt_text: string(2000) }, { ...blockId, ...imageSource, title: plainText(2000) })(value, path, report);
  requireImageSource(value, path, report);
};

const taskCard = object(
  {
    task_id: string(255),
    title: string(3000),
    status: oneOf('pending', 'in_progress', 'complete', 'error'),
  },
  { ...blockId, details: richText, output: richText, sources: list(anything, 100) },
);

const BLOCKS: Readonly<Record<string, Check>> = {
  section,
  divider: object({}, blockId),
  header: object({ text: plainText(150) }, blockId),
  context: object({ elements: list(contextElement, 10) }, blockId),
  actions: object({ elements: list(element(IN_ACTIONS), 25) }, blockId),
  input: object(
    { label: plainText(2000), element: element(IN_INPUT) },
    { ...blockId, hint: plainText(2000), optional: boolean, dispatch_action: boolean },
  ),
  image: imageBlock,
  rich_text: richText,
};

/** Only in messages. */
const MESSAGE_BLOCKS: Readonly<Record<string, Check>> = {
  ...BLOCKS,
  markdown: object({ text: string(MARKDOWN_CHARS) }, blockId),
  table: object({ rows: list(list(tableCell, 20), 100) }, { ...blockId, column_settings: list(columnSetting, 20, 0) }),
};

/** Only in messages, and only in a workspace that is new enough. */
const NEWEST_BLOCKS: Readonly<Record<string, Check>> = {
  task_card: taskCard,
  plan: object({ title: string(3000) }, { ...blockId, tasks: list(taskCard, 50) }),
  card: object(
    {},
    {
      ...blockId,
      hero_image: imageElement,
      icon: imageElement,
      title: anyText(150),
      subtitle: anyText(150),
      body: anyText(200),
      actions: list(element(['button']), 5),
    },
  ),
};

function blockTable(surface: Surface, rules: Rules): Readonly<Record<string, Check>> {
  if (surface !== 'message') return BLOCKS;
  return rules.newestBlocks === true ? { ...MESSAGE_BLOCKS, ...NEWEST_BLOCKS } : MESSAGE_BLOCKS;
}

function checkSurfaceBlocks(blocks: unknown, path: string, surface: Surface, rules: Rules, report: Report): void {
  const max = surface === 'message' ? MESSAGE_BLOCKS_MAX : VIEW_BLOCKS_MAX;
  list(byType(blockTable(surface, rules)), max, 0)(blocks, path, report);
  if (Array.isArray(blocks)) checkUnique(blocks, path, report);
}

/** A block_id is unique in its message or view, an action_id in its block; only one element takes the focus. */
function checkUnique(blocks: readonly unknown[], path: string, report: Report): void {
  const blockIds = new Set<string>();
  let focused = 0;
  blocks.forEach((block, index) => {
    if (!isObject(block)) return;
    const id = block['block_id'];
    if (typeof id === 'string' && blockIds.has(id)) report(`${path}/${index}/block_id`, `"${id}" is a duplicate`);
    if (typeof id === 'string') blockIds.add(id);
    const actionIds = new Set<string>();
    for (const found of interactiveElements(block)) {
      const actionId = found['action_id'];
      if (typeof actionId === 'string' && actionIds.has(actionId)) {
        report(`${path}/${index}`, `action_id "${actionId}" already exists`);
      }
      if (typeof actionId === 'string') actionIds.add(actionId);
      if (found['focus_on_load'] === true) focused += 1;
    }
  });
  if (focused > 1) report(path, 'only one element may have focus_on_load');
}

/** The elements of a block that people can use. */
export function interactiveElements(block: Readonly<Record<string, unknown>>): Record<string, unknown>[] {
  const candidates: unknown[] = [block['accessory'], block['element']];
  for (const field of ['elements', 'actions']) {
    const found = block[field];
    if (Array.isArray(found)) candidates.push(...(found as unknown[]));
  }
  return candidates.filter(isObject).filter((found) => IN_ACTIONS.includes(typeOf(found) ?? '') || isInput(found));
}

function isInput(found: unknown): boolean {
  return IN_INPUT.includes(typeOf(found) ?? '');
}

function checkMessageBlocks(blocks: unknown, rules: Rules, report: Report): void {
  if (!Array.isArray(blocks)) {
    report('/blocks', 'must be an array of blocks', 'invalid_blocks_format');
    return;
  }
  checkSurfaceBlocks(blocks, '/blocks', 'message', rules, report);
  if (JSON.stringify(blocks).length > MESSAGE_BLOCKS_CHARS) {
    report('/blocks', 'all blocks together are too long', 'msg_blocks_too_long');
  }
  const tables = blocks.filter((block) => typeOf(block) === 'table');
  if (tables.length > 1) report('/blocks', 'only_one_table_allowed', 'invalid_attachments');
  if (charactersIn(tables) > TABLE_CHARS) report('/blocks', `a table holds at most ${TABLE_CHARS} characters`);
  if (charactersIn(blocks.filter((block) => typeOf(block) === 'markdown')) > MARKDOWN_CHARS) {
    report('/blocks', `all markdown together must be less than ${MARKDOWN_CHARS + 1} characters`);
  }
}

/** Length of every `text` string below `value`. */
function charactersIn(value: unknown): number {
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + charactersIn(item), 0);
  if (!isObject(value)) return 0;
  return Object.entries(value).reduce(
    (sum, [name, field]) => sum + (name === 'text' && typeof field === 'string' ? field.length : charactersIn(field)),
    0,
  );
}

function checkAttachments(attachments: unknown, rules: Rules, report: Report): void {
  const code = 'invalid_attachments';
  if (!Array.isArray(attachments)) {
    report('/attachments', 'must be an array', code);
    return;
  }
  if (attachments.length > 100) report('/attachments', 'no more than 100 items allowed', 'too_many_attachments');
  attachments.forEach((attachment, index) => {
    const path = `/attachments/${index}`;
    if (!isObject(attachment)) {
      report(path, 'must be an object', code);
      return;
    }
    if (attachment['blocks'] === undefined) return;
    const strict: Report = (at, message) => report(at, message, code);
    checkSurfaceBlocks(attachment['blocks'], `${path}/blocks`, 'message', rules, strict);
  });
}

function checkMetadata(metadata: unknown, report: Report): void {
  if (!isObject(metadata)) {
    report('/metadata', 'must be an object', 'invalid_metadata_format');
    return;
  }
  if (Object.keys(metadata).length === 0) return;
  if (typeof metadata['event_type'] !== 'string' || metadata['event_type'] === '') {
    report('/metadata', 'missing required field: event_type', 'invalid_metadata_schema');
  }
  if (!isObject(metadata['event_payload'])) {
    report('/metadata', 'missing required field: event_payload', 'invalid_metadata_schema');
  }
  if (JSON.stringify(metadata).length > METADATA_CHARS) {
    report('/metadata', `must be less than ${METADATA_CHARS + 1} characters`, 'metadata_too_large');
  }
}

// ── Views ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const viewFields: Fields = {
  private_metadata: string(3000, 0),
  callback_id: string(255, 0),
  external_id: string(255, 0),
};

const MODAL: { readonly required: Fields; readonly optional: Fields } = {
  required: { title: plainText(24), blocks: anything },
  optional: {
    ...viewFields,
    submit: plainText(24),
    close: plainText(24),
    clear_on_close: boolean,
    notify_on_close: boolean,
    submit_disabled: boolean,
  },
};

const HOME: { readonly required: Fields; readonly optional: Fields } = {
  required: { blocks: anything },
  optional: viewFields,
};
