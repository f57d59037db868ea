/** Owns the two small forms of a review: why it is denied, and the one-time code of an approval. Pure. */
import type { ModalView } from '@slack/types';
import type { Problem } from '../../domain/error.ts';
import { LONGEST_REASON } from '../../domain/restore-request.ts';
import { code, mrk, section } from '../blocks.ts';
import { modal, textField } from '../modal-blocks.ts';
import { problemText } from './dialogs.ts';
import type { RestoreValue } from './restore-phrases.ts';

export const DENY_FORM = 'restore.deny';
export const CODE_FORM = 'restore.code';
export const REASON_FIELD = 'reason';
export const CODE_FIELD = 'code';

/** `problem`: why it did not count, when it is shown once more. */
export function denyForm(value: RestoreValue, problem?: Problem): ModalView {
  return modal(
    'Deny the restore',
    [
      ...(problem === undefined ? [] : [section(problemText(problem))]),
      section(mrk`One deny ends the request ${code(value.request)}: nothing is restored.`),
      textField(REASON_FIELD, {
        label: 'Why',
        hint: 'The requester and all who reviewed it are told.',
        multiline: true,
        most: LONGEST_REASON,
      }),
    ],
    { submit: 'Deny', close: 'Back', callback: DENY_FORM, metadata: value },
  );
}

export function codeForm(value: RestoreValue, problem?: Problem): ModalView {
  return modal(
    'Approve the restore',
    [
      ...(problem === undefined ? [] : [section(problemText(problem))]),
      section(
        mrk`You approve plan ${code(value.digest.slice(0, 12))} of restore ${code(value.request)}, and nothing else.`,
      ),
      codeField('The one-time code that your authenticator shows now'),
    ],
    { submit: 'Approve', close: 'Back', callback: CODE_FORM, metadata: value },
  );
}

export function codeField(label: string): ReturnType<typeof textField> {
  return textField(CODE_FIELD, { label, most: 12, placeholder: '123456' });
}
