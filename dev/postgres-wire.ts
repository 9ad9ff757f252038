/**
 * The little of the Postgres wire protocol (3.0, "Message Formats" in its manual) the front needs:
 * cutting a byte stream into messages, and seeing when Postgres is ready for the next query.
 */
import type { Socket } from 'node:net';

export interface FrontendMessage {
  readonly type: 'startup' | 'terminate' | 'other';
  readonly bytes: Buffer;
}

/** Bytes of a ReadyForQuery message: 'Z', length 5, status. */
export const TAIL_BYTES = 6;
export const SYNC_MESSAGE: Uint8Array = Buffer.from([0x53, 0, 0, 0, 4]);

const SSL_REQUEST = 80_877_103;
const GSS_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;
const BATCH_PARTS = new Set(Buffer.from('PBDEC', 'latin1'));
const HEADER_BYTES = 5;
/** A startup packet is small; whoever sends more does not speak Postgres. */
const MAX_STARTUP_BYTES = 10_000;

/**
 * Messages of a client in order. Answers requests for encryption with "no" by itself.
 * Ends when the client hangs up or asks to cancel (which one session cannot do).
 * Throws when the stream breaks or is not Postgres.
 */
export async function* readFrontendMessages(socket: Socket): AsyncGenerator<FrontendMessage> {
  const source = byteSource(socket);
  for (;;) {
    const length = (await source.peek(4))?.readInt32BE(0);
    if (length === undefined) return;
    if (length < 8 || length > MAX_STARTUP_BYTES) throw new Error('not a Postgres client');
    const bytes = await source.take(length);
    if (bytes === null) return;
    const code = bytes.readInt32BE(4);
    if (code === CANCEL_REQUEST) return;
    if (code !== SSL_REQUEST && code !== GSS_REQUEST) {
      yield { type: 'startup', bytes };
      break;
    }
    socket.write('N');
  }
  for (;;) {
    const header = await source.peek(HEADER_BYTES);
    const bytes = header === null ? null : await source.take(1 + header.readInt32BE(1));
    if (bytes === null) return;
    yield { type: bytes[0] === 0x58 ? 'terminate' : 'other', bytes };
  }
}

/** Whether a message is a part of an extended query: Parse, Bind, Describe, Execute, Close. */
export function isBatchPart(message: FrontendMessage): boolean {
  return message.type === 'other' && BATCH_PARTS.has(message.bytes[0] ?? 0);
}

/** Where Postgres stands after an answer: ready and idle, ready inside a transaction, or busy. */
export function endsReady(tail: Buffer): 'idle' | 'transaction' | 'busy' {
  if (tail.length < TAIL_BYTES || tail[0] !== 0x5a || tail.readInt32BE(1) !== 5) return 'busy';
  return tail[5] === 0x49 ? 'idle' : 'transaction';
}

/**
 * Gives named statements a name of their own per client, as if each had a session.
 * Parse, Bind, Describe and Close carry such names; `names` collects what was parsed.
 */
export function scopeStatementName(
  message: FrontendMessage,
  sessionId: number,
  names: Set<string>,
): Uint8Array {
  if (message.type !== 'other') return message.bytes;
  const { bytes } = message;
  const start = statementNameAt(bytes);
  if (start === null || bytes[start] === 0) return bytes;
  const end = bytes.indexOf(0, start);
  const name = `c${sessionId}_${bytes.toString('utf8', start, end)}`;
  if (bytes[0] === 0x50) names.add(name);
  if (bytes[0] === 0x43) names.delete(name);
  const scoped = Buffer.concat([bytes.subarray(0, start), Buffer.from(name), bytes.subarray(end)]);
  scoped.writeInt32BE(scoped.length - 1, 1);
  return scoped;
}

/** A simple query message. */
export function queryMessage(sql: string): Uint8Array {
  return framed('Q', `${sql}\0`);
}

/** An ErrorResponse with severity, SQLSTATE and text. */
export function errorResponse(severity: 'ERROR' | 'FATAL', state: string, text: string): Buffer {
  return framed('E', `S${severity}\0V${severity}\0C${state}\0M${text}\0\0`);
}

function framed(type: string, body: string): Buffer {
  const content = Buffer.from(body, 'utf8');
  const head = Buffer.alloc(HEADER_BYTES);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(content.length + 4, 1);
  return Buffer.concat([head, content]);
}

/** Offset of the statement's name in a message, or null when it carries none. */
function statementNameAt(bytes: Buffer): number | null {
  switch (bytes[0]) {
    case 0x50: // Parse: statement, query, …
      return HEADER_BYTES;
    case 0x42: // Bind: portal, statement, …
      return bytes.indexOf(0, HEADER_BYTES) + 1;
    case 0x43: // Close and Describe: 'S' or 'P', name
    case 0x44:
      return bytes[HEADER_BYTES] === 0x53 ? HEADER_BYTES + 1 : null;
    default:
      return null;
  }
}

interface ByteSource {
  /** The next `size` bytes, left in place; null when the stream ends before. */
  peek(size: number): Promise<Buffer | null>;
  take(size: number): Promise<Buffer | null>;
}

/** Reads exact sizes from a stream; parts are joined once per message, not once per chunk. */
function byteSource(socket: Socket): ByteSource {
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let parts: Buffer[] = [];
  let available = 0;
  const fill = async (size: number): Promise<Buffer | null> => {
    while (available < size) {
      const next = await chunks.next();
      if (next.done === true) return null;
      parts.push(next.value);
      available += next.value.length;
    }
    const whole = parts.length === 1 ? parts[0] : undefined;
    const joined = whole ?? Buffer.concat(parts);
    parts = [joined];
    return joined;
  };
  return {
    peek: async (size) => (await fill(size))?.subarray(0, size) ?? null,
    take: async (size) => {
      const joined = await fill(size);
      if (joined === null) return null;
      parts = joined.length > size ? [joined.subarray(size)] : [];
      available -= size;
      return joined.subarray(0, size);
    },
  };
}
