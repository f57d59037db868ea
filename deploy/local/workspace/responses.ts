/** Owns what the app says in answer to a person: the body of an acknowledgement and the posts to a response_url. */
import type { Core, ResponseTarget } from './core.ts';
import { validateMessage } from './limits.ts';
import { isJson, type Json, type Message } from './state.ts';
import { withIds } from './views.ts';

/** A POST to `/response/<id>`. Status and body as Slack's hooks answer them. */
export function respond(core: Core, id: string, body: unknown): { readonly status: number; readonly body: string } {
  const use = core.responseUrls.use(id);
  if (!use.ok) return refusal(404, use.why === 'used' ? 'used_url' : 'expired_url');
  if (!isJson(body)) return refusal(400, 'invalid_payload');
  const error = answer(core, use.value, body);
  return error === undefined ? { status: 200, body: 'ok' } : refusal(400, error);
}

function refusal(status: number, error: string): { status: number; body: string } {
  return { status, body: JSON.stringify({ ok: false, error }) };
}

/**
 * Shows what the app answered; returns Slack's error code when it is refused. An answer to a click replaces the
 * clicked message unless `replace_original` is false, an answer to a command is always a new message.
 */
export function answer(core: Core, target: ResponseTarget, body: Json): string | undefined {
  const { channel, user, source } = target;
  if (isTrue(body['delete_original'])) {
    if (source !== undefined) core.state.remove(channel, source);
    return undefined;
  }
  const problem = validateMessage(body, core.rules).find(({ code }) => code !== 'msg_blocks_too_long');
  if (problem !== undefined) return problem.code;
  const content = contentOf(body);
  if (source !== undefined && body['replace_original'] !== false && body['replace_original'] !== 'false') {
    Object.assign(source, content);
    core.state.touch(channel, source);
    return undefined;
  }
  core.state.post(channel, {
    ...content,
    user: core.state.bot.id,
    fromApp: true,
    threadTs: typeof body['thread_ts'] === 'string' ? body['thread_ts'] : undefined,
    ephemeralFor: body['response_type'] === 'in_channel' ? undefined : user,
  });
  return undefined;
}

function isTrue(value: unknown): boolean {
  return value === true || value === 'true';
}

/** The parts of a request that make up a message's content, block ids given. */
export function contentOf(body: Json): Pick<Message, 'text' | 'blocks' | 'attachments' | 'metadata'> {
  return {
    text: typeof body['text'] === 'string' ? body['text'] : '',
    blocks: Array.isArray(body['blocks']) ? withIds(body['blocks'].filter(isJson)) : undefined,
    attachments: Array.isArray(body['attachments']) ? body['attachments'].filter(isJson).map(withBlockIds) : undefined,
    metadata: isJson(body['metadata']) ? body['metadata'] : undefined,
  };
}

function withBlockIds(attachment: Json): Json {
  return Array.isArray(attachment['blocks'])
    ? { ...attachment, blocks: withIds(attachment['blocks'].filter(isJson)) }
    : attachment;
}
