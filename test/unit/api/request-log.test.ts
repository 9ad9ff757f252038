import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { pino } from 'pino';
import { afterEach, expect, it } from 'vitest';
import { requestId } from '../../../api/middleware/request-id.ts';
import { requestLog } from '../../../api/middleware/request-log.ts';
import { stateOf } from '../../../api/request-state.ts';

let server: Server | undefined;
afterEach(() => server?.close());

/** An app that answers as its path says, and what it logged of one request. */
async function linesOf(path: string, leave?: boolean): Promise<Record<string, unknown>[]> {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void =>
    void lines.push(JSON.parse(line) as Record<string, unknown>);
  const app = express();
  app.use(
    requestId(() => 'id-1'),
    requestLog(pino({ base: null, level: 'debug' }, { write })),
  );
  const closed = new Promise<void>((resolve) => {
    app.use((req, res) => {
      stateOf(res).callId = 'theCall';
      res.once('close', () => resolve());
      if (leave) req.socket.destroy();
      else res.status(Number(req.query['status'] ?? 200)).end();
    });
  });
  server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
  await closed;
  return lines;
}

it('an answer is one line: who, what, how it ended, and nothing of the query', async () => {
  const [line, ...more] = await linesOf('/api/context/list?status=200&tag=secret');
  expect(more).toEqual([]);
  expect(line).toEqual({
    level: 30,
    time: expect.any(Number) as number,
    requestId: 'id-1',
    req: { method: 'GET', path: '/api/context/list' },
    res: { status: 200 },
    durationMs: expect.any(Number) as number,
    call: 'theCall',
    tenant: null,
    msg: 'answered',
  });
});

it('a probe is told at debug, a failure at error with what it was', async () => {
  expect(await linesOf('/api/context/health/live')).toMatchObject([{ level: 20 }]);
  expect(await linesOf('/api/context/health/live?status=503')).toMatchObject([
    { level: 50, res: { status: 503 }, err: { message: 'failed with status code 503' } },
  ]);
});

it('a caller who goes away is told of once', async () => {
  expect(await linesOf('/gone', true)).toHaveLength(1);
});
