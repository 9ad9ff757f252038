/** Requests that are wrong in one way or several, made from the calls there are. Repeatable by seed. */
import type { Call } from '../../api/contract.ts';
import type { Random } from '../support/random.ts';

export interface RawRequest {
  /** Which damage was done, for the message of a failing test. */
  readonly what: string;
  readonly bytes: Buffer;
  /** Our half is closed at once: the request may be shorter than it says. */
  readonly isCut: boolean;
}

interface Draft {
  method: string;
  target: string;
  version: string;
  headers: [string, string][];
  body: Buffer | null;
  isCut: boolean;
}

const HEAD: readonly [string, string][] = [
  ['Host', '127.0.0.1'],
  ['Connection', 'close'],
];

/** One damaged request. */
export function malformed(calls: readonly Call[], random: Random): RawRequest {
  const call = random.pick(calls);
  const draft = wellFormed(call, random);
  const damages = Array.from({ length: 1 + random.upTo(2) }, () => random.pick(DAMAGES));
  for (const [, damage] of damages) damage(draft, random);
  const what = `${call.id}: ${damages.map(([name]) => name).join(' + ')}`;
  return { what, bytes: bytesOf(draft), isCut: draft.isCut };
}

function wellFormed(call: Call, random: Random): Draft {
  const target = call.path.replaceAll(/\{\w+\}/g, () => encodeURIComponent(random.pick(NAMES)));
  const text = call.example?.body === undefined ? null : JSON.stringify(call.example.body);
  const body = text === null ? (call.bodyIs === 'none' ? null : '{}') : text;
  return {
    method: call.method.toUpperCase(),
    target,
    version: 'HTTP/1.1',
    headers: [...HEAD, ...(body === null ? [] : [JSON_TYPE])],
    body: body === null ? null : Buffer.from(body),
    isCut: false,
  };
}

const JSON_TYPE: [string, string] = ['Content-Type', 'application/json'];
const NAMES = ['a', 'proj/notes', '0', '-1', 'null', '018f0000-0000-7000-8000-000000000000', "x'y"];
const TEXTS = [
  '',
  ' ',
  '\0',
  '..',
  '%',
  "'; DROP TABLE contexts; --",
  '${7*7}',
  '<script>',
  '\u202e',
  '💣',
  'a'.repeat(600),
  '__proto__',
  'constructor',
];
const VALUES: readonly unknown[] = [
  null,
  true,
  -1,
  0.5,
  1e308,
  2 ** 53,
  [],
  [[]],
  {},
  { $gt: '' },
  { toString: 1 },
  ...TEXTS,
];
const RAW_JSON = [
  '{',
  '[',
  '{"a":}',
  'nul',
  '"',
  '{"key":"a","data":1e999}',
  '{"key":"a","data":9007199254740993}',
  '{"key":"\\ud800","data":1}',
  '{"key":"a","key":"b","data":1}',
  '\ufeff{}',
  '{}{}',
  '[1,]',
  "{'key':'a'}",
  `${'['.repeat(1_000)}${']'.repeat(1_000)}`,
  `{"key":"a","data":${'{"a":'.repeat(300)}1${'}'.repeat(300)}}`,
];
const HEADERS: readonly [string, string][] = [
  ['Content-Type', 'text/plain'],
  ['Content-Type', 'application/json; charset=utf-16'],
  ['Content-Type', 'application/x-ndjson'],
  ['Content-Type', 'multipart/form-data; boundary=x'],
  ['Content-Encoding', 'gzip'],
  ['Content-Encoding', 'br'],
  ['Content-Encoding', 'nothing'],
  ['Transfer-Encoding', 'chunked'],
  ['Transfer-Encoding', 'gzip, chunked'],
  ['Content-Length', '-1'],
  ['Content-Length', '99999999999999'],
  ['Content-Length', '1e3'],
  ['If-Match', '"x"'],
  ['If-Match', 'W/"1", *'],
  ['If-None-Match', '"'],
  ['Idempotency-Key', 'k'.repeat(300)],
  ['Idempotency-Key', '\x7f'],
  ['Authorization', 'Bearer'],
  ['Authorization', 'Basic eDp5'],
  ['Accept', '*/*;q=x'],
  ['Accept-Encoding', 'zip;q=9'],
  ['Range', 'bytes=9-1'],
  ['Expect', '100-continue'],
  ['Expect', 'the unexpected'],
  ['Upgrade', 'h2c'],
  ['Origin', 'null'],
  ['Origin', 'http://evil.example'],
  ['X-Forwarded-For', "127.0.0.1, '"],
  ['X-HTTP-Method-Override', 'DELETE'],
  ['Cookie', '='.repeat(2_000)],
  ['No-Colon\r\nX', 'y'],
  [' Folded', 'x\r\n y'],
  ['X-Long', 'x'.repeat(20_000)],
  ['X-Bytes', '\u0001\u00ff'],
];

type Damage = (draft: Draft, random: Random) => void;

const DAMAGES: readonly (readonly [string, Damage])[] = [
  ['a member of another type', (draft, random) => setMember(draft, random, random.pick(VALUES))],
  ['a member of text', (draft, random) => setMember(draft, random, random.pick(TEXTS))],
  [
    'an unknown member',
    (draft, random) => setBody(draft, { ...objectOf(draft), [random.pick(TEXTS)]: 1 }),
  ],
  [
    'another body',
    (draft, random) => {
      setBody(draft, random.pick(VALUES));
    },
  ],
  [
    'a body that is no JSON',
    (draft, random) => {
      draft.body = Buffer.from(random.pick(RAW_JSON));
    },
  ],
  [
    'a body of bytes',
    (draft, random) => {
      draft.body = Buffer.from(Array.from({ length: random.upTo(200) }, () => random.upTo(256)));
    },
  ],
  [
    'one byte changed',
    (draft, random) => {
      if (draft.body?.length) draft.body[random.upTo(draft.body.length)] = random.upTo(256);
    },
  ],
  [
    'cut short',
    (draft) => {
      draft.isCut = true;
      draft.headers.push(['Content-Length', String((draft.body?.length ?? 0) + 10)]);
    },
  ],
  [
    'no body',
    (draft) => {
      draft.body = null;
    },
  ],
  [
    'a strange header',
    (draft, random) => {
      draft.headers.push(random.pick(HEADERS));
    },
  ],
  [
    'a header in the place of another',
    (draft, random) => {
      draft.headers[random.upTo(draft.headers.length)] = random.pick(HEADERS);
    },
  ],
  [
    'another method',
    (draft, random) => {
      draft.method = random.pick(['PATCH', 'TRACE', 'OPTIONS', 'HEAD', 'CONNECT', 'FROB', 'get']);
    },
  ],
  [
    'another version',
    (draft, random) => {
      draft.version = random.pick(['HTTP/1.0', 'HTTP/2.0', 'HTTP/9.9', 'HTTP', '']);
    },
  ],
  [
    'a strange query',
    (draft, random) => {
      const name = random.pick(['limit', 'cursor', 'since', 'version', 'fields', 'tag', '', 'x[]']);
      const values = ['-1', '1e9', '%', '%00', '%ff', 'a&limit=2', "'", 'x'.repeat(500), '/', ''];
      draft.target += `?${name}=${random.pick(values)}&${name}=${random.pick(values)}`;
    },
  ],
  [
    'a strange path',
    (draft, random) => {
      const tails = ['%', '%00', '%zz', '/..', '//', '/%2e%2e', '%c0%af', ';x', '?', '#', ' x'];
      draft.target += random.pick(tails);
    },
  ],
  [
    'another target',
    (draft, random) => {
      draft.target = random.pick(['*', '', 'http://', 'evil:80', '//evil', '/'.repeat(9_000)]);
    },
  ],
];

function setMember(draft: Draft, random: Random, value: unknown): void {
  const whole = objectOf(draft);
  const names = Object.keys(whole);
  if (names.length === 0) return setBody(draft, { key: value });
  setBody(draft, { ...whole, [random.pick(names)]: value });
}

function objectOf(draft: Draft): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(draft.body?.toString() ?? '{}');
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function setBody(draft: Draft, value: unknown): void {
  draft.body = Buffer.from(JSON.stringify(value));
}

function bytesOf({ method, target, version, headers, body }: Draft): Buffer {
  const names = headers.map(([name]) => name.toLowerCase());
  const hasLength = names.includes('content-length') || names.includes('transfer-encoding');
  const all = [
    ...headers,
    ...(body && !hasLength ? [['Content-Length', String(body.length)] as const] : []),
  ];
  const head = [
    `${method} ${target} ${version}`,
    ...all.map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.concat([
    Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'),
    body ?? Buffer.alloc(0),
  ]);
}
