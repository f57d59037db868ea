/** Owns what Slack's refusals mean for us: wait, post elsewhere, write it simpler, or give up. */

/** The error codes of @slack/web-api are part of its interface; telling errors by them needs none of its code here. */
interface SlackApiError {
  readonly code: string;
  readonly retryAfter?: number;
  readonly statusCode?: number;
  readonly data?: { readonly error?: string; readonly needed?: string };
}

export type Refusal =
  /** Too fast: Slack says how long to wait. */
  | { readonly kind: 'rate-limited'; readonly retryAfterMs: number }
  /** Slack can't be reached, or is in trouble of its own: the same call may work later. It may have been carried out. */
  | { readonly kind: 'away'; readonly reason: string }
  /** Our token is no good: nothing works until someone repairs it. */
  | { readonly kind: 'unauthorized'; readonly reason: string }
  /** This conversation can't be written to, others can. */
  | { readonly kind: 'no-channel'; readonly reason: string }
  /** The message to be edited is not there or may not be edited any more. */
  | { readonly kind: 'no-message'; readonly reason: string }
  /** The blocks are not taken; plain text may be. */
  | { readonly kind: 'bad-blocks'; readonly reason: string }
  /** Any other no; saying it again changes nothing. */
  | { readonly kind: 'refused'; readonly reason: string };

const MEANING: Readonly<Record<string, Exclude<Refusal['kind'], 'rate-limited'>>> = {
  internal_error: 'away',
  fatal_error: 'away',
  service_unavailable: 'away',
  request_timeout: 'away',
  team_added_to_org: 'away',
  invalid_auth: 'unauthorized',
  not_authed: 'unauthorized',
  token_revoked: 'unauthorized',
  token_expired: 'unauthorized',
  account_inactive: 'unauthorized',
  missing_scope: 'unauthorized',
  no_permission: 'unauthorized',
  not_allowed_token_type: 'unauthorized',
  channel_not_found: 'no-channel',
  not_in_channel: 'no-channel',
  is_archived: 'no-channel',
  restricted_action: 'no-channel',
  restricted_action_read_only_channel: 'no-channel',
  cannot_dm_bot: 'no-channel',
  user_not_found: 'no-channel',
  user_disabled: 'no-channel',
  messages_tab_disabled: 'no-channel',
  thread_not_found: 'no-channel',
  cannot_reply_to_message: 'no-channel',
  message_not_found: 'no-message',
  cant_update_message: 'no-message',
  edit_window_closed: 'no-message',
  block_mismatch: 'bad-blocks',
  invalid_blocks: 'bad-blocks',
  invalid_blocks_format: 'bad-blocks',
  msg_blocks_too_long: 'bad-blocks',
  invalid_attachments: 'bad-blocks',
};

/** Undefined when `error` did not come from a call to Slack. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!isSlackApiError(error)) return undefined;
  switch (error.code) {
    case 'slack_webapi_rate_limited_error':
      return { kind: 'rate-limited', retryAfterMs: Math.max(1, error.retryAfter ?? 30) * 1000 };
    case 'slack_webapi_request_error':
      return { kind: 'away', reason: 'no connection' };
    case 'slack_webapi_http_error':
      return { kind: 'away', reason: `HTTP ${error.statusCode ?? '?'}` };
    default:
      return platformRefusal(error.data?.error ?? 'unknown_error', error.data?.needed);
  }
}

function platformRefusal(reason: string, needed: string | undefined): Refusal {
  if (reason === 'ratelimited' || reason === 'rate_limited') return { kind: 'rate-limited', retryAfterMs: 30_000 };
  return { kind: MEANING[reason] ?? 'refused', reason: needed === undefined ? reason : `${reason} (${needed})` };
}

function isSlackApiError(error: unknown): error is SlackApiError {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('slack_webapi_');
}
