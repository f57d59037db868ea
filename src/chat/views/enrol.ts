/** Owns how people get one-time codes: the secret shown once, the wish for a new one, and a second person's consent. Pure. */
import type { KnownBlock, ModalView } from '@slack/types';
import type { Problem } from '../../domain/error.ts';
import {
  actions,
  button,
  code,
  codeBlocks,
  confirmation,
  context,
  date,
  join,
  mention,
  message,
  mrk,
  section,
} from '../blocks.ts';
import type { MessageView } from '../blocks.ts';
import type { EnrolCall } from '../message-state.ts';
import { modal } from '../modal-blocks.ts';
import { problemText } from './dialogs.ts';
import { codeField } from './review-forms.ts';

export const ENROL_FORM = 'enrol.confirm';
export const AGREE_FORM = 'enrol.agree';
export const ENROL_ACTIONS = { anew: 'enrol.anew', agree: 'enrol.agree' } as const;
const TITLE = 'One-time codes';

/** Slack shows no picture made by an app in a dialog, so the secret is text. It is not kept in the dialog's metadata. */
export function secretForm({ secret, uri }: { readonly secret: string; readonly uri: string }): ModalView {
  const grouped = secret.match(/.{1,4}/g)?.join(' ') ?? secret;
  return modal(
    TITLE,
    [
      section(mrk`*1.* Put this secret into your authenticator app (time based, six digits). It is shown only now.`),
      ...codeBlocks(grouped).map(section),
      context(mrk`Or open this address with the app:`),
      ...codeBlocks(uri).map(section),
      section(mrk`*2.* Enter the first code that the app shows. From then on your approvals can count.`),
      codeField('First code'),
    ],
    { submit: 'Confirm', close: 'Cancel', callback: ENROL_FORM },
  );
}

/** Shown when the first code did not fit and there was no time to say so in the field; the secret is not shown again. */
export function confirmAgainForm(problem: Problem): ModalView {
  return modal(TITLE, [section(problemText(problem)), codeField('First code')], {
    submit: 'Confirm',
    close: 'Cancel',
    callback: ENROL_FORM,
  });
}

/** For those who have codes: the old phone is lost, or they are locked. */
export function haveCodesView(problem: Problem): ModalView {
  const ask = button(
    ENROL_ACTIONS.anew,
    'Ask to enrol anew',
    {},
    {
      confirm: confirmation(
        'Ask to enrol anew?',
        'Another approver has to agree, with a code of their own. Your old codes count until the new ones are confirmed.',
        'Ask',
        'primary',
      ),
    },
  );
  const blocks: KnownBlock[] = [section(problemText(problem)), actions([ask])];
  return modal(TITLE, blocks);
}

export function askedAnewText(command: string): ReturnType<typeof mrk> {
  return mrk`✋ Asked. As soon as another approver has agreed, type ${code(`${command} enrol`)} again, within an hour.`;
}

/** In the results channel: somebody has to agree. */
export function enrolCallView(call: EnrolCall): MessageView {
  const who = join(call.approvers.map(mention), ' ');
  if (call.agreedBy !== undefined) {
    const line = mrk`🔐 ${mention(call.user)} may enrol anew for one-time codes: ${mention(call.agreedBy)} agreed.`;
    return message(line, [section(line)]);
  }
  const line = mrk`🔐 ${who}, please look: ${mention(call.user)} asks to enrol anew for one-time codes, since ${date(call.askedAt)}.`;
  const care = mrk`Agree only after you spoke with this person: whoever enrols can approve in their name. You need a code of your own.`;
  return message(join([line, care], '\n'), [
    section(line),
    context(care),
    actions([button(ENROL_ACTIONS.agree, 'Agree…', { user: call.user, askedAt: call.askedAt }, { style: 'primary' })]),
  ]);
}

export interface AgreeValue {
  readonly user: string;
  readonly askedAt: string;
}

export function agreeForm(value: AgreeValue, problem?: Problem): ModalView {
  return modal(
    'Agree to enrol anew',
    [
      ...(problem === undefined ? [] : [section(problemText(problem))]),
      section(mrk`${mention(value.user)} gets a new secret, and its codes count for approvals then.`),
      codeField('Your own one-time code'),
    ],
    { submit: 'Agree', close: 'Back', callback: AGREE_FORM, metadata: value },
  );
}
