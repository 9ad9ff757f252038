/**
 * 5,000 damaged requests over raw sockets to the real API process. None may be answered with a 5xx
 * or with anything of our insides, none may hurt the process, and its memory stays bounded.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CALLS } from '../../api/contract.ts';
import { createRandom } from '../support/random.ts';
import { startSyncline, type SynclineProcess } from '../support/syncline-process.ts';
import { malformed, type RawRequest } from './malform.ts';

const REQUESTS = Number(process.env['SYNCLINE_MALFORMED'] ?? 5_000);
const AT_ONCE = 400;
/** A socket that nobody ends: the server waits for the rest of a request. Ours to close, then. */
const PATIENCE_MS = 1_000;
const MAX_GROWTH_BYTES = 300 * 1024 * 1024;
const SEED = Number(process.env['SYNCLINE_TEST_SEED'] ?? Date.now() % 1_000_000);

/** What an answer never contains: a stack, a path of ours, SQL, or what Postgres says. */
const INSIDES = [
  /\bat \S+ \(|\bat file:|\.(?:ts|js):\d+/,
  /node_modules|node:internal/,
  /\b(?:SELECT|INSERT|UPDATE|DELETE) .*\b(?:FROM|INTO|SET|WHERE)\b/,
  /syntax error at or near|violates .* constraint|relation "|pg_|context_system\./,
];

let syncline: SynclineProcess;

beforeAll(async () => {
  syncline = await startSyncline({ role: 'api' });
}, 120_000);
afterAll(() => syncline.close());

it(`answers ${REQUESTS} damaged requests with what is wrong with them (seed ${SEED})`, async () => {
  const random = createRandom(SEED);
  const requests = Array.from({ length: REQUESTS }, () => malformed(CALLS, random));
  // Once to be warm, so that what is measured below is not the first use of everything.
  await answers(requests.slice(0, AT_ONCE));
  const before = residentBytes(syncline.pid());
  const statuses = new Map<number, number>();
  for (let from = 0; from < requests.length; from += AT_ONCE) {
    const some = requests.slice(from, from + AT_ONCE);
    for (const { what, text } of await answers(some)) {
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      expect.soft(status, `${what}\n${text.slice(0, 2000)}`).toBeLessThan(500);
      for (const inside of INSIDES) expect.soft(text, what).not.toMatch(inside);
      if (status >= 400) expect.soft(text, what).toMatch(/application\/problem\+json/);
    }
  }
  // They met the API and not only the parser of HTTP.
  for (const status of [400, 404, 405, 415]) expect(statuses.get(status) ?? 0).toBeGreaterThan(0);
  expect((await syncline.client.health()).status).toBe('ok');
  expect(residentBytes(syncline.pid()) - before).toBeLessThan(MAX_GROWTH_BYTES);
  expect(syncline.log()).not.toMatch(/"level":(?:50|60)/);
}, 300_000);

function answers(requests: readonly RawRequest[]) {
  return Promise.all(
    requests.map(async (request) => ({ what: request.what, text: await talk(request) })),
  );
}

function talk({ bytes, isCut }: RawRequest): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(syncline.url).port), '127.0.0.1');
    const parts: Buffer[] = [];
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    socket.on('data', (part) => parts.push(part));
    // A server that has refused may close while we are still sending.
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(parts).toString('latin1')));
    if (isCut) socket.end(bytes);
    else socket.write(bytes);
  });
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}
