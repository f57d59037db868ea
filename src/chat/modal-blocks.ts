/** Owns the parts of dialogs: the view itself and its fields, within Slack's limits. Pure. */
import type { InputBlock, KnownBlock, ModalView, PlainTextOption } from '@slack/types';
import { plainText } from './blocks.ts';

/** Slack's limits of dialogs, in characters or items. */
const LIMITS = {
  title: 24,
  blocks: 100,
  label: 2000,
  hint: 2000,
  option: 75,
  placeholder: 150,
  metadata: 3000,
} as const;

export interface ModalOptions {
  /** What the button that sends it says; undefined: it only shows something. */
  readonly submit?: string;
  readonly close?: string;
  /** By which the answer is known; needed with `submit`. */
  readonly callback?: string;
  /** What the app gets back with it. */
  readonly metadata?: object;
}

/** Data that does not fit into `metadata` is a bug, so it throws rather than cuts. */
export function modal(title: string, blocks: readonly KnownBlock[], options: ModalOptions = {}): ModalView {
  const { submit, close, callback, metadata } = options;
  const json = metadata === undefined ? undefined : JSON.stringify(metadata);
  if (json !== undefined && json.length > LIMITS.metadata) throw new RangeError(`dialog ${title}: too much metadata`);
  return {
    type: 'modal',
    title: plainText(title, LIMITS.title),
    blocks: blocks.slice(0, LIMITS.blocks),
    ...(submit === undefined ? {} : { submit: plainText(submit, LIMITS.title) }),
    ...(close === undefined ? {} : { close: plainText(close, LIMITS.title) }),
    ...(callback === undefined ? {} : { callback_id: callback }),
    ...(json === undefined ? {} : { private_metadata: json }),
  };
}

interface Field {
  readonly label: string;
  readonly hint?: string;
  readonly optional?: boolean;
}

/** One field has one element, so both have the same name. */
function input(name: string, element: InputBlock['element'], { label, hint, optional }: Field): InputBlock {
  return {
    type: 'input',
    block_id: name,
    label: plainText(label, LIMITS.label),
    element: { ...element, action_id: name },
    ...(hint === undefined ? {} : { hint: plainText(hint, LIMITS.hint) }),
    ...(optional === true ? { optional: true } : {}),
  };
}

export function textField(
  name: string,
  field: Field & { readonly multiline?: boolean; readonly most: number; readonly placeholder?: string },
): InputBlock {
  const { multiline = false, most, placeholder } = field;
  const shown = placeholder === undefined ? {} : { placeholder: plainText(placeholder, LIMITS.placeholder) };
  return input(name, { type: 'plain_text_input', multiline, max_length: most, ...shown }, field);
}

export function personField(name: string, field: Field): InputBlock {
  return input(name, { type: 'users_select' }, field);
}

export function tickField(name: string, field: Field & { readonly options: readonly PlainTextOption[] }): InputBlock {
  return input(name, { type: 'checkboxes', options: [...field.options] }, field);
}

export function choiceField(
  name: string,
  field: Field & { readonly options: readonly PlainTextOption[]; readonly chosen: string },
): InputBlock {
  const initial = field.options.find(({ value }) => value === field.chosen);
  const start = initial === undefined ? {} : { initial_option: initial };
  return input(name, { type: 'radio_buttons', options: [...field.options], ...start }, field);
}

/** Its options are asked of the app while the person types; each choice is told at once. */
export function searchField(
  name: string,
  field: Field & { readonly initial: PlainTextOption | undefined },
): InputBlock {
  const start = field.initial === undefined ? {} : { initial_option: field.initial };
  const block = input(name, { type: 'external_select', min_query_length: 0, ...start }, field);
  return { ...block, dispatch_action: true };
}

/** `value` must fit; texts are cut. */
export function option(value: string, text: string, description?: string): PlainTextOption {
  if (value.length > LIMITS.option) throw new RangeError(`option value of ${value.length} characters`);
  return {
    text: plainText(text, LIMITS.option),
    value,
    ...(description === undefined ? {} : { description: plainText(description, LIMITS.option) }),
  };
}

// ── What comes back ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A field as Slack gives it back; which part there is depends on the field. */
interface FieldValue {
  readonly value?: string | null | undefined;
  readonly selected_option?: ChosenOption | null | undefined;
  readonly selected_options?: readonly ChosenOption[] | undefined;
  readonly selected_user?: string | null | undefined;
}

export interface ChosenOption {
  readonly value?: string | undefined;
  readonly description?: { readonly text: string } | undefined;
}

/** By block, then by element. */
export type FormValues = Readonly<Record<string, Readonly<Record<string, FieldValue>>>>;

function fieldOf(values: FormValues, name: string): FieldValue {
  return values[name]?.[name] ?? {};
}

/** What was typed, without blanks around it; empty when nothing was. */
export function typedIn(values: FormValues, name: string): string {
  return fieldOf(values, name).value?.trim() ?? '';
}

export function chosenIn(values: FormValues, name: string): ChosenOption | undefined {
  return fieldOf(values, name).selected_option ?? undefined;
}

export function personIn(values: FormValues, name: string): string | undefined {
  return fieldOf(values, name).selected_user ?? undefined;
}

export function isTicked(values: FormValues, name: string): boolean {
  return (fieldOf(values, name).selected_options ?? []).length > 0;
}
