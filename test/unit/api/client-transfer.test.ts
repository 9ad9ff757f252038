import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ContextClient } from '../../../client/index.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** A client of a server that answers so. */
async function clientOf(answer: (req: IncomingMessage, res: ServerResponse) => void) {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return new ContextClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

const CLOSED = { code: 'UNREACHABLE', message: 'The client is closed.' };

describe('a client that is closed', () => {
  it('ends an export that is under way, and its connection', async () => {
    let isGone = false;
    const client = await clientOf((_req, res) => {
      res.on('close', () => (isGone = true));
      res.write('{"a":1}\n');
    });
    const reader = (await client.transfer.export()).getReader();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe('{"a":1}\n');
    const next = reader.read();
    client.close();
    await expect(next).rejects.toMatchObject(CLOSED);
    await vi.waitFor(() => expect(isGone).toBe(true));
  });

  it('ends an import that is under way', async () => {
    let isGone = false;
    let begin: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const client = await clientOf((req, res) => {
      res.on('close', () => (isGone = true));
      req.once('data', () => begin());
    });
    const lines = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('{"a":1}\n')),
    });
    const imported = client.transfer.import(lines);
    await begun;
    client.close();
    await expect(imported).rejects.toMatchObject(CLOSED);
    await vi.waitFor(() => expect(isGone).toBe(true));
  });

  it('begins no transfer', async () => {
    let asked = 0;
    const client = await clientOf((_req, res) => void res.end(String((asked += 1))));
    client.close();
    await expect(client.transfer.export()).rejects.toMatchObject(CLOSED);
    await expect(client.transfer.import('{}')).rejects.toMatchObject(CLOSED);
    expect(asked).toBe(0);
  });
});

describe('a transfer', () => {
  it('gives all bytes of an export, and ends with the signal of its caller', async () => {
    const client = await clientOf((req, res) => {
      if (req.url?.includes('tag=all')) res.end('x'.repeat(1_000_000));
      else res.write('begun');
    });
    const whole = await client.transfer.export({ tag: ['all'] });
    expect(await new Response(whole).text()).toHaveLength(1_000_000);
    const caller = new AbortController();
    const reader = (await client.transfer.export({ signal: caller.signal })).getReader();
    await reader.read();
    caller.abort(new Error('enough'));
    await expect(reader.read()).rejects.toThrow('enough');
    client.close();
  });
});
