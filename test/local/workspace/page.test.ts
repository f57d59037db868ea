/** The page's pure parts: reading mrkdwn, completing commands; and the app's manifest. */
import { describe, expect, it } from 'vitest';
import { appFromManifest } from '../../../deploy/local/workspace/manifest.ts';

interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}
interface Offer {
  readonly from: number;
  readonly items: readonly { readonly insert: string }[];
  readonly usage?: string;
  readonly eager?: boolean;
}
const page = (file: string): string => new URL(`../../../deploy/local/workspace/page/${file}`, import.meta.url).href;
const { parseMrkdwn, formatDate, markdownToMrkdwn } = (await import(page('mrkdwn.js'))) as {
  parseMrkdwn: (text: string) => Node[];
  formatDate: (ts: number, format: string, now: Date) => string;
  markdownToMrkdwn: (text: string) => string;
};
const { complete } = (await import(page('completion.js'))) as {
  complete: (text: string, known: object) => Offer | undefined;
};

const text = (words: string) => ({ type: 'text', text: words });

describe('mrkdwn', () => {
  it('reads bold, italic, strike and code, one inside the other', () => {
    expect(parseMrkdwn('a *b _c_* ~d~ `e*f*`')).toEqual([
      text('a '),
      { type: 'bold', children: [text('b '), { type: 'italic', children: [text('c')] }] },
      text(' '),
      { type: 'strike', children: [text('d')] },
      text(' '),
      { type: 'code', text: 'e*f*' },
    ]);
  });

  it('leaves marks inside words alone', () => {
    expect(parseMrkdwn('snake_case_name 2*3*4 *open')).toEqual([text('snake_case_name 2*3*4 *open')]);
  });

  it('reads mentions, dates, links and emoji', () => {
    expect(
      parseMrkdwn('<@U1> <#C1|general> <!subteam^S1> <!here> <!date^60^{time}|then> <https://x.org|x> :tada:'),
    ).toEqual([
      { type: 'user', id: 'U1', label: undefined },
      text(' '),
      { type: 'channel', id: 'C1', label: 'general' },
      text(' '),
      { type: 'group', id: 'S1', label: undefined },
      text(' '),
      { type: 'broadcast', name: 'here' },
      text(' '),
      { type: 'date', ts: 60, format: '{time}', url: undefined, fallback: 'then' },
      text(' '),
      { type: 'link', url: 'https://x.org', text: 'x' },
      text(' '),
      { type: 'emoji', name: 'tada' },
    ]);
  });

  it('joins quoted lines, and keeps what stands between fences as it is', () => {
    expect(parseMrkdwn('&gt; one\n> two\nthree')).toEqual([
      { type: 'quote', children: [text('one'), { type: 'break' }, text('two')] },
      text('three'),
    ]);
    expect(parseMrkdwn('```\n*a* &lt;b&gt;\n```')).toEqual([{ type: 'pre', text: '*a* <b>' }]);
  });

  it('makes no link of a script, whatever it looks like', () => {
    const hostile =
      '<javascript:alert(1)|click> <!date^1^{date}^javascript:alert(2)|d> <data:text/html,x> <script>x</script>';
    const nodes = parseMrkdwn(hostile);
    expect(nodes.filter(({ type }) => type === 'link')).toEqual([]);
    expect(nodes.find(({ type }) => type === 'date')).toMatchObject({ url: undefined });
    expect(nodes[0]).toEqual(text('<javascript:alert(1)|click> '));
  });

  it('says dates as people do', () => {
    const now = new Date(2026, 10, 21, 12);
    const seconds = (date: Date): number => date.getTime() / 1000;
    expect(formatDate(seconds(now), '{date_short_pretty}!', now)).toBe('today!');
    expect(formatDate(seconds(new Date(2026, 10, 20, 23)), '{date_pretty}', now)).toBe('yesterday');
    expect(formatDate(seconds(new Date(2026, 10, 21, 9)), '{ago}', now)).toBe('3 hours ago');
    expect(formatDate(seconds(now), '{unknown}', now)).toBe('{unknown}');
  });

  it('brings markdown to mrkdwn', () => {
    expect(markdownToMrkdwn('# Title\n- **bold** [x](https://x.org) *it*\n```sh\n**raw**\n```')).toBe(
      '*Title*\n• *bold* <https://x.org|x> _it_\n```\n**raw**\n```',
    );
  });
});

describe('completion', () => {
  const known = {
    commands: [{ command: '/etcd', usageHint: 'help | status CLUSTER | backup CLUSTER', description: '' }],
    people: [{ handle: 'ada', name: 'Ada Lovelace' }],
  };
  const inserts = (typed: string) => complete(typed, known)?.items.map(({ insert }) => insert);

  it('offers the commands of the app, then its sub-commands, then says what comes next', () => {
    expect(inserts('/')).toEqual(['/etcd ']);
    expect(inserts('/etcd ')).toEqual(['help', 'status ', 'backup ']);
    expect(inserts('/etcd b')).toEqual(['backup ']);
    expect(complete('/etcd backup ', known)).toMatchObject({ items: [], usage: 'backup CLUSTER' });
  });

  it('stands aside when the command is whole, so that Enter sends it', () => {
    expect(complete('/etcd', known)?.eager).toBe(false);
    expect(complete('/etcd ', known)?.eager).toBe(false);
    expect(complete('/etcd help', known)).toBeUndefined();
    expect(complete('/etcd backup prod-eu', known)).toBeUndefined();
    expect(complete('/etcd unknown', known)).toBeUndefined();
    expect(complete('hello /etcd', known)).toBeUndefined();
  });

  it('offers people by handle or name', () => {
    expect(inserts('thanks @love')).toEqual(['@ada ']);
  });
});

describe('the manifest', () => {
  it('gives commands, scopes and events', () => {
    const manifest = {
      features: { slash_commands: [{ command: '/etcd', description: 'd', usage_hint: 'help', should_escape: false }] },
      oauth_config: { scopes: { bot: ['chat:write', 'commands'] } },
      settings: { event_subscriptions: { bot_events: ['app_home_opened'] } },
    };
    expect(appFromManifest(manifest)).toEqual({
      commands: [{ command: '/etcd', description: 'd', usageHint: 'help' }],
      scopes: ['chat:write', 'commands'],
      events: ['app_home_opened'],
    });
    expect(appFromManifest(undefined)).toEqual({ commands: [], scopes: [], events: [] });
  });
});
