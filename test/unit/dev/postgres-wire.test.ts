import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  endsReady,
  queryMessage,
  readFrontendMessages,
  scopeStatementName,
} from '../../../dev/postgres-wire.ts';

/** Frames a message the way a client does. */
function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

function startup(): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), Buffer.from('user\0postgres\0\0')]);
  bytes.writeInt32BE(bytes.length, 0);
  bytes.writeInt32BE(196_608, 4);
  return bytes;
}

/** What the server reads when a client sends these parts, one write each, and hangs up. */
async function received(parts: readonly Buffer[]): Promise<Buffer[]> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  for (const part of parts) client.write(part);
  client.end();
  const messages: Buffer[] = [];
  for await (const { bytes } of readFrontendMessages(socket)) messages.push(Buffer.from(bytes));
  client.destroy();
  server.close();
  return messages;
}

const cString = fc.string({ maxLength: 10 }).filter((text) => !text.includes('\0'));

describe('the Postgres wire protocol', () => {
  it('cuts a stream into the same messages, however it arrives in pieces', async () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(bodies, fc.integer({ min: 1, max: 30 }), async (contents, size) => {
        const sent = [startup(), ...contents.map((body) => message('Q', Buffer.from(body)))];
        const whole = Buffer.concat(sent);
        const pieces: Buffer[] = [];
        for (let at = 0; at < whole.length; at += size) pieces.push(whole.subarray(at, at + size));
        expect(await received(pieces)).toEqual(sent);
      }),
      { numRuns: 30 },
    );
  });

  it('refuses encryption and goes on, and ends on a request to cancel', async () => {
    const request = (code: number): Buffer => {
      const bytes = Buffer.alloc(8);
      bytes.writeInt32BE(8, 0);
      bytes.writeInt32BE(code, 4);
      return bytes;
    };
    expect(await received([request(80_877_103), request(80_877_104), startup()])).toEqual([
      startup(),
    ]);
    expect(await received([Buffer.concat([request(80_877_102), startup()])])).toEqual([]);
  });

  it('knows when Postgres is ready, inside a transaction, or busy', () => {
    const ready = (status: string): Buffer => Buffer.from(`Z\0\0\0\x05${status}`, 'latin1');
    expect(['I', 'T', 'E'].map((status) => endsReady(ready(status)))).toEqual([
      'idle',
      'transaction',
      'transaction',
    ]);
    expect(endsReady(Buffer.from('C12345'))).toBe('busy');
    expect(endsReady(Buffer.alloc(0))).toBe('busy');
  });

  it('gives a named statement a name of its own per client, in every message that carries one', () => {
    fc.assert(
      fc.property(cString, cString, fc.string(), (name, portal, rest) => {
        const names = new Set<string>();
        const scope = (type: string, body: string): string =>
          Buffer.from(
            scopeStatementName(
              { type: 'other', bytes: message(type, Buffer.from(body)) },
              7,
              names,
            ),
          )
            .subarray(5)
            .toString('utf8');
        const own = name === '' ? '' : `c7_${name}`;
        expect(scope('P', `${name}\0${rest}`)).toBe(`${own}\0${rest}`);
        expect([...names]).toEqual(name === '' ? [] : [own]);
        expect(scope('B', `${portal}\0${name}\0${rest}`)).toBe(`${portal}\0${own}\0${rest}`);
        expect(scope('D', `S${name}\0`)).toBe(`S${own}\0`);
        expect(scope('D', `P${name}\0`)).toBe(`P${name}\0`);
        expect(scope('C', `S${name}\0`)).toBe(`S${own}\0`);
        expect(names.size).toBe(0);
        expect(scope('Q', `${name}\0`)).toBe(`${name}\0`);
      }),
    );
  });

  it('writes the length of what it frames', () => {
    const bytes = Buffer.from(queryMessage('ROLLBACK'));
    expect(bytes.readInt32BE(1)).toBe(bytes.length - 1);
  });
});
