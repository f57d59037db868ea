import { describe, expect, test } from 'vitest';
import { pinoLog, secretRegistry } from '../../src/adapters/log.ts';
import { KeyturnError } from '../../src/domain/error.ts';

interface Line {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

function recorder(level: 'debug' | 'info' | 'warn' | 'error' = 'debug') {
  const text: string[] = [];
  const secrets = secretRegistry();
  const log = pinoLog(level, secrets, { write: (line: string) => void text.push(line) });
  return { log, secrets, text: () => text.join(''), lines: () => text.map((line) => JSON.parse(line) as Line) };
}

describe('a line of the log', () => {
  test('is one JSON object with level, time, message and fields', () => {
    const { log, text, lines } = recorder();
    log.info({ cluster: 'prod', bytes: 12 }, 'stored');
    expect(text()).toMatch(/^[^\n]+\n$/);
    expect(lines()).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        msg: 'stored',
        cluster: 'prod',
        bytes: 12,
      },
    ]);
  });

  test('below the level is not written', () => {
    const { log, lines } = recorder('warn');
    log.debug({}, 'a');
    log.info({}, 'b');
    log.warn({}, 'c');
    log.error({}, 'd');
    expect(lines().map((line) => line.msg)).toEqual(['c', 'd']);
  });

  test('says the same of an error by whatever name the field goes, its message as it is', () => {
    const { log, lines } = recorder();
    const error = new Error('outer', { cause: new Error('inner') });
    log.warn({ err: error }, 'a');
    log.warn({ error }, 'b');
    const [a, b] = lines();
    expect(a?.['err']).toEqual(b?.['error']);
    expect(a?.['err']).toMatchObject({ message: 'outer', cause: { message: 'inner' } });
  });

  test('shows an error with code, message, hint, stack and its chain of causes', () => {
    const { log, lines } = recorder();
    const root = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const error = new KeyturnError('ssh.unreachable', 'cp1 does not answer', { hint: 'Check port 22.', cause: root });
    log.warn({ error, node: 'cp1' }, 'no backup');
    expect(lines()[0]).toMatchObject({
      node: 'cp1',
      error: {
        name: 'KeyturnError',
        code: 'ssh.unreachable',
        message: 'cp1 does not answer',
        hint: 'Check port 22.',
        stack: expect.stringContaining('log.test.ts') as string,
        cause: { name: 'Error', code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' },
      },
    });
  });

  test('survives causes in a circle, big integers and fields that refer to themselves', () => {
    const { log, lines } = recorder();
    const error = new Error('round');
    error.cause = error;
    const self: Record<string, unknown> = {};
    self['self'] = self;
    log.error({ error, revision: 12345678901234567890n, self }, 'odd');
    expect(lines()[0]).toMatchObject({ msg: 'odd', revision: '12345678901234567890' });
  });
});

describe('a registered secret', () => {
  const SECRET = 'xoxb-"quoted"\\slash/ü?&';

  test('stands in no line: not in message, field, key, error, cause or stack, nor nested', () => {
    const { log, secrets, text } = recorder();
    secrets.register(SECRET);
    const error = new Error(`refused ${SECRET}`, { cause: new Error(`because of ${SECRET}`) });
    log.error({ token: SECRET, deep: [{ [SECRET]: SECRET }], error }, `with ${SECRET}`);
    expect(text()).toContain('[secret]');
    expect(text()).not.toContain('quoted');
  });

  test('is hidden in a URL and in base64 too', () => {
    const { log, secrets, text } = recorder();
    secrets.register(SECRET);
    log.info({ url: `redis://:${encodeURIComponent(SECRET)}@host` }, Buffer.from(SECRET).toString('base64'));
    expect(text()).not.toContain(encodeURIComponent(SECRET));
    expect(text()).not.toContain(Buffer.from(SECRET).toString('base64'));
  });

  test('of several lines is hidden line by line, while the frame of a key stays', () => {
    const { secrets } = recorder();
    secrets.register('-----BEGIN PRIVATE KEY-----\nMIIBVwIBADAN\nBgkqhkiG9w0B\n-----END PRIVATE KEY-----\n');
    expect(secrets.redact('got -----BEGIN PRIVATE KEY----- then BgkqhkiG9w0B')).toBe(
      'got -----BEGIN PRIVATE KEY----- then [secret]',
    );
  });

  test('that contains another one is hidden whole', () => {
    const { secrets } = recorder();
    secrets.register('hunter');
    secrets.register('hunter2hunter');
    expect(secrets.redact('hunter2hunter and hunter')).toBe('[secret] and [secret]');
  });

  test('is not taken when it is too short to be one, and an empty one hides nothing', () => {
    const { secrets } = recorder();
    secrets.register('');
    secrets.register('abc');
    expect(secrets.redact('abcdef')).toBe('abcdef');
  });
});
