import { describe, expect, it } from 'vitest';
import {
  describe as words,
  validateMessage,
  validateSuggestions,
  validateView,
} from '../../../deploy/local/workspace/limits.ts';

const plain = (text: string) => ({ type: 'plain_text', text });
const mrkdwn = (text: string) => ({ type: 'mrkdwn', text });
const section = (text: string) => ({ type: 'section', text: mrkdwn(text) });
const button = (over: object = {}) => ({ type: 'button', action_id: 'a', text: plain('Retry'), ...over });
const message = (...blocks: unknown[]) => validateMessage({ text: 'words for notifications', blocks });
const modal = (over: object = {}) => ({ type: 'modal', title: plain('Restore'), blocks: [section('x')], ...over });
const input = (element: object) => ({ type: 'input', block_id: 'i', label: plain('Why'), element });
const sayings = (problems: ReturnType<typeof validateMessage>) => problems.map(words);

describe('messages', () => {
  it('takes every supported block with every supported element', () => {
    const option = { text: plain('One'), value: '1' };
    const elements = [
      button({ style: 'danger', value: 'v', confirm: { title: plain('Sure?'), text: mrkdwn('*yes*') } }),
      { type: 'static_select', action_id: 'b', placeholder: plain('Pick'), options: [option], initial_option: option },
      { type: 'external_select', action_id: 'c', min_query_length: 2 },
      { type: 'multi_users_select', action_id: 'd', initial_users: ['U0ADA00001'], max_selected_items: 2 },
      { type: 'overflow', action_id: 'e', options: [option] },
      { type: 'radio_buttons', action_id: 'f', options: [{ text: mrkdwn('*One*'), value: '1' }] },
      { type: 'checkboxes', action_id: 'g', options: [option] },
      { type: 'datepicker', action_id: 'h', initial_date: '2026-11-21' },
      { type: 'timepicker', action_id: 'i', initial_time: '23:59' },
      { type: 'conversations_select', action_id: 'j' },
    ];
    const richText = {
      type: 'rich_text',
      elements: [{ type: 'rich_text_section', elements: [{ type: 'text', text: 'b', style: { bold: true } }] }],
    };
    expect(
      message(
        { type: 'header', text: plain('Backup failed') },
        { type: 'section', fields: [mrkdwn('*Cluster*'), plain('prod-eu')], accessory: button() },
        { type: 'divider' },
        {
          type: 'context',
          elements: [mrkdwn('by Ada'), { type: 'image', image_url: 'https://x/y.png', alt_text: 'y' }],
        },
        { type: 'actions', elements },
        { type: 'image', image_url: 'https://x/y.png', alt_text: 'y', title: plain('Y') },
        richText,
        { type: 'markdown', text: '# hello' },
        { type: 'table', rows: [[{ type: 'raw_text', text: 'a' }, richText]], column_settings: [{ align: 'right' }] },
        input({ type: 'plain_text_input', action_id: 'x', multiline: true }),
      ),
    ).toEqual([]);
  });

  it('names the block and what is wrong with it, in the words of Slack', () => {
    expect(sayings(message(section('ok'), section('x'.repeat(3001))))).toEqual([
      'must be less than 3001 characters [json-pointer:/blocks/1/text/text]',
    ]);
    expect(message(section(''))[0]?.code).toBe('invalid_blocks');
  });

  const refusals: readonly (readonly [rule: string, block: unknown, words: string])[] = [
    ['11 fields', { type: 'section', fields: Array(11).fill(mrkdwn('f')) }, 'no more than 10 items allowed'],
    ['a field of 2001', { type: 'section', fields: [mrkdwn('f'.repeat(2001))] }, 'must be less than 2001 characters'],
    ['a header of 151', { type: 'header', text: plain('h'.repeat(151)) }, 'must be less than 151 characters'],
    ['mrkdwn in a header', { type: 'header', text: mrkdwn('h') }, 'must be a plain_text object'],
    ['11 context elements', { type: 'context', elements: Array(11).fill(mrkdwn('c')) }, 'no more than 10 items'],
    ['a button in a context', { type: 'context', elements: [button()] }, 'must be a plain_text or mrkdwn object'],
    ['no action elements', { type: 'actions', elements: [] }, 'no less than 1 items'],
    [
      '26 action elements',
      { type: 'actions', elements: [...Array(26).keys()].map((i) => button({ action_id: `${i}` })) },
      'no more than 25',
    ],
    ['a button text of 76', { type: 'actions', elements: [button({ text: plain('b'.repeat(76)) })] }, 'less than 76'],
    ['a button value of 2001', { type: 'actions', elements: [button({ value: 'v'.repeat(2001) })] }, 'less than 2001'],
    ['an action_id of 256', { type: 'actions', elements: [button({ action_id: 'i'.repeat(256) })] }, 'less than 256'],
    ['a button style of its own', { type: 'actions', elements: [button({ style: 'green' })] }, 'must be one of'],
    [
      'a confirm title of 101',
      { type: 'actions', elements: [button({ confirm: { title: plain('t'.repeat(101)), text: plain('x') } })] },
      'less than 101',
    ],
    [
      'a confirm text of 301',
      { type: 'actions', elements: [button({ confirm: { title: plain('t'), text: plain('x'.repeat(301)) } })] },
      'less than 301',
    ],
    [
      'an option text of 76',
      {
        type: 'actions',
        elements: [{ type: 'static_select', options: [{ text: plain('o'.repeat(76)), value: 'v' }] }],
      },
      'less than 76',
    ],
    [
      'a select without options',
      { type: 'actions', elements: [{ type: 'static_select' }] },
      'one of options and option_groups',
    ],
    ['two equal action_ids', { type: 'actions', elements: [button(), button()] }, 'already exists'],
    [
      '101 table rows',
      { type: 'table', rows: Array(101).fill([{ type: 'raw_text', text: 'c' }]) },
      'no more than 100 items',
    ],
    [
      '21 table columns',
      { type: 'table', rows: [Array(21).fill({ type: 'raw_text', text: 'c' })] },
      'no more than 20 items',
    ],
    ['a property Slack does not know', { type: 'divider', color: 'red' }, 'invalid additional property: color'],
    ['a block Slack does not know', { type: 'progress' }, 'unsupported type: progress'],
    ['a section without text', { type: 'section' }, 'missing required field: text'],
    ['an image without a source', { type: 'image', alt_text: 'x' }, 'one of image_url and slack_file is required'],
    ['a script as a link', { type: 'actions', elements: [button({ url: 'javascript:alert(1)' })] }, 'invalid_url'],
    ['an inherited name as type', { type: 'constructor' }, 'unsupported type: constructor'],
  ];
  it.each(refusals)('refuses %s', (_rule, block, expected) => {
    expect(sayings(message(block)).join('\n')).toContain(expected);
  });

  it('refuses 51 blocks, duplicate block_ids, and two tables', () => {
    expect(message(...Array<unknown>(51).fill({ type: 'divider' }))[0]?.message).toBe('no more than 50 items allowed');
    const twin = { type: 'divider', block_id: 'same' };
    expect(message(twin, twin)[0]?.message).toBe('"same" is a duplicate');
    const table = { type: 'table', rows: [[{ type: 'raw_text', text: 'x' }]] };
    expect(message(table, table)[0]).toMatchObject({ code: 'invalid_attachments', message: 'only_one_table_allowed' });
  });

  it('refuses blocks that are too long together, although each is short enough', () => {
    expect(message(...Array<unknown>(5).fill(section('x'.repeat(2900))))[0]?.code).toBe('msg_blocks_too_long');
  });

  it('refuses a table of more than 10,000 characters', () => {
    const rows = Array<unknown>(11).fill([{ type: 'raw_text', text: 'x'.repeat(1000) }]);
    expect(sayings(message({ type: 'table', rows }))[0]).toContain('at most 10000 characters');
  });

  it('refuses the newest blocks unless the workspace is new enough', () => {
    const plan = { type: 'plan', title: 'Restore', tasks: [{ task_id: '1', title: 'Stop etcd', status: 'pending' }] };
    expect(sayings(message(plan))).toEqual(['unsupported type: plan [json-pointer:/blocks/0]']);
    expect(validateMessage({ text: 'x', blocks: [plan] }, { newestBlocks: true })).toEqual([]);
    const wrong = { ...plan, tasks: [{ task_id: '1', title: 'Stop etcd', status: 'done' }] };
    expect(validateMessage({ text: 'x', blocks: [wrong] }, { newestBlocks: true })[0]?.message).toContain(
      'must be one of',
    );
  });

  it('refuses a message without content, and text that is too long', () => {
    expect(validateMessage({})[0]?.code).toBe('no_text');
    expect(validateMessage({ text: 'x'.repeat(40_000) })).toEqual([]);
    expect(validateMessage({ text: 'x'.repeat(40_001) })[0]?.code).toBe('msg_too_long');
    expect(validateMessage({ text: 'x', blocks: 'no list' })[0]?.code).toBe('invalid_blocks_format');
  });

  it('refuses metadata without event_type or event_payload', () => {
    expect(validateMessage({ text: 'x', metadata: { event_type: 'backup', event_payload: { id: '1' } } })).toEqual([]);
    expect(validateMessage({ text: 'x', metadata: { event_type: 'backup' } })[0]?.code).toBe('invalid_metadata_schema');
    expect(validateMessage({ text: 'x', metadata: 'no object' })[0]?.code).toBe('invalid_metadata_format');
  });
});

describe('views', () => {
  it('takes a modal with inputs and a Home tab', () => {
    const element = { type: 'plain_text_input', action_id: 'why', min_length: 3, focus_on_load: true };
    expect(validateView(modal({ submit: plain('Go'), callback_id: 'c', blocks: [input(element)] }))).toEqual([]);
    expect(validateView({ type: 'home', blocks: [section('x')] })).toEqual([]);
  });

  const refusals: readonly (readonly [rule: string, view: unknown, words: string])[] = [
    ['a modal without title', { type: 'modal', blocks: [] }, 'missing required field: title'],
    ['a title of 25', modal({ title: plain('t'.repeat(25)) }), 'less than 25'],
    ['a submit of 25', modal({ submit: plain('t'.repeat(25)) }), 'less than 25'],
    [
      'inputs without submit',
      modal({ blocks: [input({ type: 'plain_text_input' })] }),
      'missing required field: submit',
    ],
    ['101 blocks', modal({ blocks: Array(101).fill({ type: 'divider' }) }), 'no more than 100 items'],
    ['private_metadata of 3001', modal({ private_metadata: 'm'.repeat(3001) }), 'less than 3001'],
    ['a table in a modal', modal({ blocks: [{ type: 'table', rows: [] }] }), 'unsupported type: table'],
    ['a Home tab with a title', { type: 'home', title: plain('x'), blocks: [] }, 'invalid additional property: title'],
    ['another type', { type: 'dialog' }, 'must be one of: modal, home'],
    ['no object', 'view', 'must be an object'],
  ];
  it.each(refusals)('refuses %s', (_rule, view, expected) => {
    expect(sayings(validateView(view)).join('\n')).toContain(expected);
  });

  it('answers invalid_arguments, and view_too_large above 250,000 characters', () => {
    expect(validateView({ type: 'dialog' })[0]?.code).toBe('invalid_arguments');
    const blocks = Array<unknown>(90).fill(section('x'.repeat(2990)));
    expect(validateView(modal({ blocks })).map(({ code }) => code)).toEqual(['view_too_large']);
  });
});

describe('suggestions', () => {
  it('takes options or groups, at most 100, never both', () => {
    const option = { text: plain('a'), value: 'a' };
    expect(validateSuggestions({ options: [option] })).toEqual([]);
    expect(validateSuggestions({ options: [] })).toEqual([]);
    expect(validateSuggestions({ options: Array(101).fill(option) })[0]?.message).toContain('no more than 100');
    expect(validateSuggestions({})[0]?.message).toContain('one of options');
  });
});
