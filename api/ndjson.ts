/** Lines of a stream of bytes, each whole and of bounded length. */
import { AppError } from '../domain/errors.ts';

export interface StreamLine {
  /** From 1. */
  readonly line: number;
  /** Null: longer than allowed; it was not kept. */
  readonly bytes: Uint8Array | null;
}

export interface StreamLimits {
  readonly maxLineBytes: number;
  readonly maxBytes: number;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * The lines that are not empty, in order; takes no more from the stream than is asked for.
 * @throws AppError PAYLOAD_TOO_LARGE once the stream is longer than `maxBytes`
 */
export async function* splitLines(
  source: AsyncIterable<Uint8Array>,
  { maxLineBytes, maxBytes }: StreamLimits,
): AsyncGenerator<StreamLine> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  let total = 0;
  let line = 1;
  const take = (piece: Uint8Array): void => {
    length += piece.length;
    if (length > maxLineBytes) pieces = [];
    else pieces.push(piece);
  };
  const end = (): StreamLine | null => {
    const bytes = length > maxLineBytes ? null : trimmed(Buffer.concat(pieces));
    const ended = { line, bytes };
    [pieces, length, line] = [[], 0, line + 1];
    return bytes?.length === 0 ? null : ended;
  };
  for await (const chunk of source) {
    total += chunk.length;
    if (total > maxBytes)
      throw new AppError('PAYLOAD_TOO_LARGE', `The body is larger than ${maxBytes} bytes.`);
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      take(chunk.subarray(from, at));
      from = at + 1;
      const ended = end();
      if (ended) yield ended;
    }
    take(chunk.subarray(from));
  }
  const last = end();
  if (last) yield last;
}

function trimmed(bytes: Buffer): Buffer {
  return bytes.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes;
}
