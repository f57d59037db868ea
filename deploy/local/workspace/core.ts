/** Owns the parts that the Web API, the people and the page share, and the app's configuration in this workspace. */
import type { Delivery } from './delivery.ts';
import { describe, type Problem, type Rules } from './limits.ts';
import type { RateLimits } from './rate-limits.ts';
import type { ShortLived } from './short-lived.ts';
import type { Channel, Json, Message, State } from './state.ts';
import type { Views } from './views.ts';

export interface AppCommand {
  /** With the slash. */
  readonly command: string;
  readonly description: string;
  /** Sub-commands parted by `|`, as the app's configuration in Slack has it: `help | status CLUSTER`. */
  readonly usageHint: string;
}

export interface Tokens {
  readonly bot: string;
  readonly app: string;
  readonly signingSecret: string;
}

/** What a click or command lets the app do next. */
export interface Trigger {
  readonly user: string;
  readonly client: string | undefined;
  /** The modal that the click was in, for views.push. */
  readonly viewId: string | undefined;
}

/** Where answers to a response_url go. */
export interface ResponseTarget {
  readonly channel: Channel;
  readonly user: string;
  /** The message that was clicked on. */
  readonly source: Message | undefined;
}

export interface StoredFile {
  readonly id: string;
  readonly name: string;
  readonly length: number;
  content: Buffer | undefined;
}

export interface Core {
  readonly name: string;
  readonly state: State;
  readonly delivery: Delivery;
  readonly views: Views;
  readonly rates: RateLimits;
  readonly rules: Rules;
  readonly tokens: Tokens;
  readonly mode: 'socket' | 'http';
  readonly commands: readonly AppCommand[];
  /** Scopes granted to the bot; undefined: all. */
  readonly scopes: readonly string[] | undefined;
  /** Bot events the app subscribed to. */
  readonly events: readonly string[];
  readonly tips: readonly string[];
  readonly triggers: ShortLived<Trigger>;
  readonly tickets: ShortLived<true>;
  readonly responseUrls: ShortLived<ResponseTarget>;
  readonly files: Map<string, StoredFile>;
  /** `http://127.0.0.1:PORT`, without a slash at the end: what the app is given. */
  readonly baseUrl: () => string;
  /** The same for people, who may come another way. */
  readonly publicUrl: () => string;
}

/** A refusal of the Web API: `{ok: false, error}`. */
export class SlackRefusal extends Error {
  readonly code: string;
  readonly extra: Json;

  constructor(code: string, extra: Json = {}) {
    super(code);
    this.code = code;
    this.extra = extra;
  }
}

/** Throws the first problem's code with all messages, worded as Slack words them. */
export function refuse(problems: readonly Problem[]): void {
  const [first] = problems;
  if (first === undefined) return;
  const errors = problems.filter(({ code }) => code === first.code).map(describe);
  throw new SlackRefusal(first.code, {
    errors,
    response_metadata: { messages: errors.map((error) => `[ERROR] ${error}`) },
  });
}
