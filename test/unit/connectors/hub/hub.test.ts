import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { hubConfigSchema } from '../../../../connectors/hub/hub-config.ts';
import { createHub, hub } from '../../../../connectors/hub/hub.ts';
import { checkRemoteHost } from '../../../../connectors/remote-host.ts';
import { asRemoteId } from '../../../../domain/item.ts';

/** A server that answers what a test tells it to. */
let answer: (req: IncomingMessage, res: ServerResponse) => void;
let asked: string[] = [];
let url = '';
const server = createServer((req, res) => {
  asked.push(`${req.method} ${req.url}`);
  answer(req, res);
});
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});
beforeEach(() => {
  asked = [];
  answer = (_req, res) => json(res, 200, { changes: [], cursor: '9.9' });
});

function json(res: ServerResponse, status: number, body: unknown, headers = {}): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(JSON.stringify(body));
}
/** Answers a batch of gets; what has no data is not there, what has no room was too much. */
function answerGets(
  req: IncomingMessage,
  res: ServerResponse,
  contextOf: (key: string, nth: number) => object | 'missing' | 'full',
): void {
  let text = '';
  req.on('data', (chunk: Buffer) => (text += chunk.toString()));
  req.on('end', () => {
    const { operations } = JSON.parse(text) as { operations: { op: 'get'; key: string }[] };
    const results = operations.map(({ op, key }, nth) => {
      const found = contextOf(key, nth);
      if (found === 'missing') return { op, key, status: 404, ...problem('CONTEXT_NOT_FOUND') };
      if (found === 'full') return { op, key, status: 413, ...problem('BATCH_TOO_LARGE') };
      return { op, status: 200, ...found };
    });
    json(res, 200, { results });
  });
}
const problem = (code: string) => ({ code, detail: `because of ${code}` });

const warnings: string[] = [];
const context = {
  prefix: 'p/',
  permissions: { fileRoots: [], stdioCommands: [] },
  secret: (name: string) => `value of ${name}`,
  log: {
    debug: () => undefined,
    info: () => undefined,
    warn: (_: object, m: string) => void warnings.push(m),
  },
};
const open = (more: object = {}) => hub.open({ url, ...more }, context);
const row = (key: string, version = 1) => ({
  key,
  version,
  kind: 'json',
  updatedAt: '2026-11-01T00:00:00.000Z',
});
const create = {
  opId: 'op-1',
  action: 'create' as const,
  kind: 'json',
  remoteId: asRemoteId('x'),
  value: { v: -0 },
  expectedVersion: null,
};

describe('the config of hub', () => {
  it.each([
    [{ url: 'http://127.0.0.1:3100' }],
    [{ url: 'https://office.example/base', apiKey: { env: 'KEY' }, prefix: 'team/' }],
    [{ url: 'http://localhost:1', rateLimit: { requests: 10, perMs: 1000 } }],
  ])('takes %j', (config) => expect(hubConfigSchema.parse(config)).toEqual(config));

  it.each([
    [{}],
    [{ url: 'ftp://127.0.0.1' }],
    [{ url: 'nothing' }],
    [{ url: 'http://me:secret@127.0.0.1' }],
    [{ url: 'http://127.0.0.1?x=1' }],
    [{ url: 'http://127.0.0.1', apiKey: 'in clear' }],
    [{ url: 'http://127.0.0.1', apiKey: { env: '' } }],
    [{ url: 'http://127.0.0.1', more: 1 }],
  ])('refuses %j', (config) => expect(hubConfigSchema.safeParse(config).success).toBe(false));
});

describe('the hosts connectors may call', () => {
  const check = (address: string, remoteHosts?: readonly string[]) => () =>
    checkRemoteHost(address, { ...context.permissions, ...(remoteHosts ? { remoteHosts } : {}) });

  it('are loopback unless told', () => {
    for (const host of ['localhost', '127.0.0.1', '[::1]', 'LOCALHOST']) {
      expect(check(`http://${host}:3100`)).not.toThrow();
    }
    for (const host of [
      'office.example',
      '10.0.0.1',
      '169.254.169.254',
      '127.0.0.1.evil.example',
    ]) {
      expect(check(`http://${host}`)).toThrow('SYNCLINE_REMOTE_HOSTS');
    }
  });

  it('are named whole, with a port or for any', () => {
    const hosts = ['Office.example', 'inner:8080', 'secure:443'];
    expect(check('https://office.example:999/x', hosts)).not.toThrow();
    expect(check('http://inner:8080', hosts)).not.toThrow();
    expect(check('https://secure', hosts)).not.toThrow();
    for (const other of [
      'http://inner',
      'http://sub.office.example',
      'http://127.0.0.1',
      'http://secure',
    ]) {
      expect(check(other, hosts)).toThrow('SYNCLINE_REMOTE_HOSTS');
    }
  });

  it('are judged before anything is sent', async () => {
    const config = { url: 'http://office.example' };
    expect(() => hub.checkAllowed(config, context.permissions)).toThrow('SYNCLINE_REMOTE_HOSTS');
    await expect(hub.open(config, context)).rejects.toMatchObject({
      code: 'CONNECTOR_NOT_ALLOWED',
    });
    expect(asked).toEqual([]);
  });
});

describe('a conversation with another hub', () => {
  it('sends the key by reference, and no redirect takes it elsewhere', async () => {
    let sent: string | undefined;
    answer = (req, res) => {
      sent = req.headers.authorization;
      json(res, 200, { changes: [], cursor: '1.1' });
    };
    await open({ apiKey: { env: 'KEY' } });
    expect(sent).toBe('Bearer value of KEY');
    answer = (_req, res) => json(res, 302, {}, { location: 'http://169.254.169.254/' });
    await expect(open()).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
  });

  it.each([
    ['a wrong key', 401, problem('UNAUTHENTICATED'), false],
    ['no scope', 403, problem('FORBIDDEN'), false],
    ['trouble there', 503, problem('UNAVAILABLE'), true],
    ['something else behind the address', 200, { hello: 'world' }, true],
  ])('is unreachable for %s', async (_what, status, body, retryable) => {
    answer = (_req, res) => json(res, status, body);
    await expect(open()).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE', retryable });
  });

  it('is unreachable where nobody listens, or nobody answers in time', async () => {
    const nobody = hub.open({ url: 'http://127.0.0.1:1' }, context);
    await expect(nobody).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE', retryable: true });
    answer = () => undefined;
    const slow = createHub({ timeoutMs: 50 }).open({ url }, context);
    await expect(slow).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE', retryable: true });
  });

  it('passes on how long it shall wait', async () => {
    const connector = await open();
    answer = (_req, res) => json(res, 429, {}, { 'retry-after': '12' });
    const busy = { code: 'RATE_LIMITED', retryable: true, extra: { retryAfterMs: 12_000 } };
    await expect(connector.probe()).rejects.toMatchObject(busy);
    await expect(connector.apply([create])).rejects.toMatchObject(busy);
    const inAMinute = new Date(Date.now() + 60_000).toUTCString();
    answer = (_req, res) => json(res, 429, {}, { 'retry-after': inAMinute });
    const error: unknown = await connector.probe().catch((thrown: unknown) => thrown);
    const { retryAfterMs } = (error as { extra: { retryAfterMs: number } }).extra;
    expect(retryAfterMs).toBeGreaterThan(50_000);
    expect(retryAfterMs).toBeLessThanOrEqual(60_000);
  });

  it.each([
    ['data', 200, 65],
    ['a problem', 500, 1],
  ])('reads no endless answer: %s', async (_what, status, megabytes) => {
    const connector = await open();
    let sent = 0;
    answer = (_req, res) => {
      res.writeHead(status, { 'content-type': 'application/json' });
      const more = (): void => {
        while (!res.destroyed) {
          sent += 65_536;
          if (!res.write(' '.repeat(65_536))) return void res.once('drain', more);
        }
      };
      more();
    };
    await expect(connector.probe()).rejects.toMatchObject({
      code: 'CONNECTOR_UNREACHABLE',
      message: expect.stringContaining('longer than') as string,
    });
    expect(sent).toBeLessThan((megabytes + 32) * 1024 * 1024);
  });

  it('repeats of what the other side says only so much as is fit to be told', async () => {
    const connector = await open();
    const detail = `a\u0000\u001b[31m\ud800b${'x'.repeat(5_000)}`;
    answer = (_req, res) => json(res, 422, { code: 'VALIDATION', detail });
    const [outcome] = await connector.apply([create]);
    const said = (outcome as { detail: string }).detail;
    expect(said).toContain('a [31m bxxx');
    expect(said.length).toBeLessThan(600);
    answer = (_req, res) => json(res, 500, { code: 'X\n'.repeat(500), detail });
    const error: unknown = await connector.probe().catch((thrown: unknown) => thrown);
    expect((error as Error).message.length).toBeLessThan(700);
    expect((error as Error).message).not.toMatch(/\p{Cc}/u);
  });

  it('gives large values in pages of a few MiB, each once, listed or told', async () => {
    const connector = await open();
    const keys = Array.from({ length: 40 }, (_, nth) => `p/${String(nth).padStart(2, '0')} ü`);
    const large = 'x'.repeat(2 * 1024 * 1024);
    let lists = 0;
    answer = (req, res) => {
      const { pathname, searchParams } = new URL(req.url!, url);
      if (pathname.endsWith('/list')) {
        const from = searchParams.get('cursor') === 'half' ? 20 : 0;
        // One that was read already is deleted while its page goes on being read.
        const items = keys.slice(from, from + 20).filter((_, nth) => lists !== 1 || nth !== 1);
        lists += 1;
        return json(res, 200, {
          items: items.map((key) => row(key)),
          nextCursor: from === 0 ? 'half' : null,
        });
      }
      if (pathname.endsWith('/changes')) {
        const since = searchParams.get('since')!;
        if (since === 'now') return json(res, 200, { changes: [], cursor: '8.8' });
        const all = keys.map((key, nth) => ({ key, version: 1, cursor: `1.${nth + 1}` }));
        return json(res, 200, { changes: all.slice(Number(since.slice(2))), cursor: '1.40' });
      }
      answerGets(req, res, (key, nth) =>
        // As the real one: so much in one answer, and no more.
        nth < 5 ? { ...row(key), size: large.length, data: large } : 'full',
      );
    };
    for (const since of [null, '1.0']) {
      const seen: string[] = [];
      let pages = 0;
      for (let page: string | null = null; pages === 0 || page !== null; pages += 1) {
        const one = await connector.observe({ since, page });
        expect(one.entries.length).toBeLessThan(13);
        seen.push(...one.entries.map(({ remoteId }) => `p/${remoteId}`));
        page = one.nextPage;
        expect(one).toMatchObject({ isComplete: page === null });
        if (page === null) expect(one.cursor).toBe(since === null ? '8.8' : '1.40');
      }
      expect(pages).toBeGreaterThan(3);
      expect(seen).toEqual(keys);
    }
  });

  it('lists everything anew when the feed no longer reaches back', async () => {
    const connector = await open();
    answer = (req, res) => {
      if (req.url?.includes('since=3.3')) json(res, 410, problem('CURSOR_EXPIRED'));
      else if (req.url?.includes('/changes')) json(res, 200, { changes: [], cursor: '8.8' });
      else if (req.url?.includes('/list')) {
        const isFirst = !req.url.includes('cursor=');
        const items = [row(isFirst ? 'p/a' : 'p/b')];
        json(res, 200, { items, nextCursor: isFirst ? 'next' : null });
      } else answerGets(req, res, (key) => ({ ...row(key, 4), size: 1, data: 1 }));
    };
    const first = await connector.observe({ since: '3.3', page: null });
    expect(first).toMatchObject({ mode: 'scan', isComplete: false, cursor: null });
    const last = await connector.observe({ since: '3.3', page: first.nextPage });
    expect(last).toMatchObject({ mode: 'scan', isComplete: true, cursor: '8.8', nextPage: null });
    expect([...first.entries, ...last.entries].map(({ remoteId }) => remoteId)).toEqual(['a', 'b']);
  });

  it('asks for a hundred at once, leaves out what is gone, and goes on after what was too much', async () => {
    const connector = await open();
    const keys = Array.from({ length: 250 }, (_, nth) => `p/${String(nth).padStart(3, '0')}`);
    const sizes: number[] = [];
    answer = (req, res) => {
      sizes.push(0);
      answerGets(req, res, (key, nth) => {
        sizes[sizes.length - 1]! += 1;
        if (key === 'p/001') return 'missing';
        return sizes.length === 2 && nth >= 30 ? 'full' : { ...row(key), size: 1, data: key };
      });
    };
    const read = await connector.read(keys.map((key) => asRemoteId(key.slice(2))));
    expect(sizes).toEqual([100, 100, 100, 20]);
    expect(read).toHaveLength(250);
    expect(read[1]).toEqual({ status: 'absent', remoteId: '001' });
    const values = read.flatMap((entry) => (entry.status === 'present' ? [entry.value] : []));
    expect(values).toEqual(keys.filter((key) => key !== 'p/001'));
  });

  it.each([
    ['answers for other keys than were asked', []],
    ['answers none at all', [{ status: 413, code: 'BATCH_TOO_LARGE', detail: 'x' }]],
    ['cannot read one', [{ status: 500, code: 'INTERNAL', detail: 'x' }]],
  ])('does not take it for an answer when the other side %s', async (_name, results) => {
    const connector = await open();
    answer = (_req, res) => json(res, 200, { results });
    const work = connector.read([asRemoteId('a')]);
    await expect(work).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
  });

  it('takes the last word of the feed, for its own keys only, and not what ran out', async () => {
    const connector = await open();
    answer = (req, res) => {
      if (!req.url?.includes('/changes'))
        return answerGets(req, res, (key) => ({ ...row(key, 3), size: 1, data: 3 }));
      const changes = [
        { key: 'p/a', version: 2, deleted: true, reason: 'user', cursor: '4.5' },
        { key: 'p/a', version: 3, cursor: '4.5' },
        { key: 'q/a', version: 1, cursor: '4.5' },
        { key: 'p/gone', version: 2, deleted: true, reason: 'user', cursor: '4.5' },
        { key: 'p/short', version: 2, deleted: true, reason: 'ttl', cursor: '4.5' },
      ];
      json(res, 200, { changes, cursor: '5.5' });
    };
    const seen = await connector.observe({ since: '4.4', page: null });
    expect(seen).toMatchObject({ mode: 'changes', cursor: '5.5', isComplete: true });
    expect(seen.entries).toMatchObject([
      { status: 'present', remoteId: 'a', version: '3', value: 3 },
      { status: 'absent', remoteId: 'gone' },
    ]);
    expect(asked.filter((one) => one.includes('/batch'))).toHaveLength(1);
  });

  it('sets aside what the other hub keeps encrypted, listed, told or read, and passes nothing of it on', async () => {
    const connector = await open();
    const row = { key: 'p/x', version: 2, kind: 'json', updatedAt: '2026-11-01T00:00:00.000Z' };
    const changes = [{ key: 'p/x', version: 2, cursor: '4.5' }];
    answer = (req, res) => {
      const context = { ...row, status: 200, size: 6, encrypted: true, data: 'hush' };
      if (req.url?.includes('/batch')) return json(res, 200, { results: [context] });
      if (req.url?.includes('/list')) return json(res, 200, { items: [row], nextCursor: null });
      json(res, 200, { changes: req.url?.includes('now') ? [] : changes, cursor: '7.7' });
    };
    const listed = await connector.observe({ since: null, page: null });
    const told = await connector.observe({ since: '6.6', page: null });
    const read = await connector.read([asRemoteId('x')]);
    for (const entries of [listed.entries, told.entries, read]) {
      expect(entries).toMatchObject([{ status: 'faulty', remoteId: 'x', code: 'ITEM_ENCRYPTED' }]);
      expect(JSON.stringify(entries)).not.toContain('hush');
    }
  });

  it.each(['ENCRYPTION_NOT_CONFIGURED', 'DECRYPTION_FAILED'])(
    'sets aside a context the other hub cannot open (%s), and takes the others',
    async (code) => {
      const connector = await open();
      const keys = ['p/a', 'p/b', 'p/c'];
      const changes = keys.map((key, nth) => ({ key, version: 1, cursor: `1.${nth}` }));
      answer = (req, res) => {
        if (req.url?.includes('/batch')) {
          return answerGets(req, res, (key) =>
            key === 'p/b'
              ? { status: 500, ...problem(code) }
              : { ...row(key), size: 1, encrypted: false, data: 1 },
          );
        }
        const items = keys.map((key) => row(key));
        if (req.url?.includes('/list')) return json(res, 200, { items, nextCursor: null });
        json(res, 200, { changes: req.url?.includes('now') ? [] : changes, cursor: '7.7' });
      };
      const listed = await connector.observe({ since: null, page: null });
      const told = await connector.observe({ since: '6.6', page: null });
      const read = await connector.read(['a', 'b', 'c'].map(asRemoteId));
      for (const entries of [listed.entries, told.entries, read]) {
        expect(entries).toMatchObject([
          { status: 'present', remoteId: 'a' },
          { status: 'faulty', remoteId: 'b', code: 'ITEM_ENCRYPTED' },
          { status: 'present', remoteId: 'c' },
        ]);
      }
    },
  );

  it('does not even ask for what the list says is encrypted', async () => {
    const connector = await open();
    const read: string[] = [];
    answer = (req, res) => {
      if (req.url?.includes('/batch')) {
        return answerGets(req, res, (key) => {
          read.push(key);
          return { ...row(key), size: 1, data: 1 };
        });
      }
      const items = [row('p/a'), { ...row('p/b'), encrypted: true }, row('p/c')];
      if (req.url?.includes('/list')) return json(res, 200, { items, nextCursor: null });
      json(res, 200, { changes: [], cursor: '7.7' });
    };
    const { entries, isComplete } = await connector.observe({ since: null, page: null });
    expect(isComplete).toBe(true);
    expect(read).toEqual(['p/a', 'p/c']);
    expect(entries).toMatchObject([
      { status: 'present', remoteId: 'a' },
      { status: 'faulty', remoteId: 'b', code: 'ITEM_ENCRYPTED' },
      { status: 'present', remoteId: 'c' },
    ]);
  });

  it('does not read its own writes back, nor is it woken by them', async () => {
    const connector = await open();
    let body = '';
    answer = (req, res) => {
      req.on('data', (chunk: Buffer) => (body += chunk.toString()));
      req.on('end', () => json(res, 201, { version: 7 }));
    };
    await connector.apply([create]);
    expect(body).toBe(
      '{"key":"p/x","data":{"v":-0},"options":{"kind":"json","ttl":null,"encrypt":false,"ifVersion":0}}',
    );
    const changes = [{ key: 'p/x', version: 7, cursor: '4.5' }];
    let polls = 0;
    answer = (req, res) => {
      if (!req.url?.includes('wait='))
        return json(res, 200, { changes: req.url?.includes('now') ? [] : changes, cursor: '7.7' });
      polls += 1;
      if (polls === 1) json(res, 200, { changes, cursor: '7.7' });
      else if (polls === 2)
        json(res, 200, { changes: [{ key: 'q/z', version: 1, cursor: '4.5' }], cursor: '7.8' });
      else if (polls === 3)
        json(res, 200, { changes: [{ key: 'p/x', version: 8, cursor: '4.5' }], cursor: '7.9' });
    };
    const seen = await connector.observe({ since: '6.6', page: null });
    expect(seen.entries).toEqual([
      { status: 'present', remoteId: 'x', kind: 'json', version: '7' },
    ]);
    expect(asked.some((one) => one.includes('/batch'))).toBe(false);
    const hinted = vi.fn(() => polls);
    const stop = await connector.watch!(hinted);
    await vi.waitFor(() => expect(polls).toBe(4));
    await stop();
    expect(hinted.mock.results.map((result) => result.value as number)).toEqual([3]);
  });

  it('throws while its write is still under way there, and is told what was refused', async () => {
    const connector = await open();
    answer = (_req, res) => json(res, 409, problem('IDEMPOTENCY_IN_PROGRESS'));
    await expect(connector.apply([create])).rejects.toMatchObject({ retryable: true });
    answer = (_req, res) => json(res, 413, problem('CONTEXT_TOO_LARGE'));
    expect(await connector.apply([create])).toMatchObject([
      { status: 'failed', code: 'CONTEXT_TOO_LARGE', isRetryable: false },
    ]);
    answer = (_req, res) => json(res, 401, problem('UNAUTHENTICATED'));
    await expect(connector.apply([create])).rejects.toMatchObject({
      code: 'CONNECTOR_UNREACHABLE',
    });
  });

  it('does nothing more once closed', async () => {
    const connector = await open();
    await connector.close();
    await expect(connector.probe()).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
  });
});
