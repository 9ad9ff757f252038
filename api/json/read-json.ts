/**
 * Reads a JSON text exactly, or refuses it: what comes out means what was written.
 * `JSON.parse` alone would round big numbers, keep lone surrogates and take any depth, so the text
 * is scanned first. Repeated member names: the last wins.
 */
import { AppError, type FieldError } from '../../domain/errors.ts';
import type { Json } from '../../domain/json.ts';
import { escapeStep } from '../../domain/json-pointer.ts';
import { isExactNumber } from './exact-number.ts';

/** Longest piece of the caller's text an error quotes. */
const MAX_QUOTED = 40;

/**
 * The value a UTF-8 JSON text stands for. `maxDepth` counts containers, the outermost is 1.
 *
 * @throws AppError INVALID_JSON, TOO_DEEP, NUMBER_PRECISION (with a pointer to the number)
 */
export function readJson(bytes: Uint8Array, maxDepth: number): Json {
  const text = decodeUtf8(bytes);
  const fault = scanJson(text, maxDepth);
  if (fault?.code === 'TOO_DEEP') throw fault;
  const value = parse(text);
  // Reported only now: in a text that is not JSON at all, that is the better message.
  if (fault) throw fault;
  return value;
}

// One for all: without `stream` it keeps nothing from one text to the next.
const UTF8 = new TextDecoder('utf-8', { fatal: true });

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw new AppError('INVALID_JSON', 'The body is not valid UTF-8.', { cause });
  }
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new AppError('INVALID_JSON', `The body is not valid JSON${placeOf(cause, text)}.`, {
      cause,
    });
  }
}

/** Where V8 says it is wrong, without the caller's text that it may quote. */
function placeOf(cause: unknown, text: string): string {
  const { message } = cause as SyntaxError;
  const position = /at position (\d+)/.exec(message)?.[1];
  const isEnd = message === 'Unexpected end of JSON input' || Number(position) >= text.length;
  if (isEnd) return ': it ends too early';
  if (position !== undefined) return `: the fault is at character ${Number(position) + 1}`;
  const token = /^Unexpected token (?:'(.)'|(.)) ?/su.exec(message);
  return token ? `: ${JSON.stringify(token[1] ?? token[2])} is not expected there` : '';
}

interface Frame {
  readonly isArray: boolean;
  /** Index of the current element, or text of the current member's name with its quotes. */
  index: number;
  name: string;
  isNameNext: boolean;
}

/** The first fault in a text that may or may not be JSON; depth is judged at once. */
function scanJson(text: string, maxDepth: number): AppError | null {
  const frames: Frame[] = [];
  let fault: AppError | null = null;
  let at = 0;
  while (at < text.length) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) {
      const { end, hasEscape } = endOfString(text, at);
      if (hasEscape) fault ??= surrogateFault(text, at, end, frames);
      const frame = frames.at(-1);
      if (frame?.isNameNext) {
        frame.name = text.slice(at, end);
        frame.isNameNext = false;
      }
      at = end;
    } else if (char === MINUS || isDigit(char)) {
      const end = endOfNumber(text, at);
      fault ??= numberFault(text.slice(at, end), frames);
      at = end;
    } else {
      if (char === OPEN_BRACE || char === OPEN_BRACKET) {
        if (frames.length >= maxDepth) return tooDeep(maxDepth);
        const isArray = char === OPEN_BRACKET;
        frames.push({ isArray, index: 0, name: '', isNameNext: !isArray });
      } else if (char === CLOSE_BRACE || char === CLOSE_BRACKET) {
        frames.pop();
      } else if (char === COMMA) {
        step(frames.at(-1));
      }
      at += 1;
    }
  }
  return fault;
}

function step(frame: Frame | undefined): void {
  if (!frame) return;
  frame.index += 1;
  frame.isNameNext = !frame.isArray;
}

const tooDeep = (maxDepth: number): AppError =>
  new AppError('TOO_DEEP', `The body nests more than ${maxDepth} arrays and objects.`);

/** Position after the closing quote (or the end of the text), and whether anything is escaped before. */
function endOfString(text: string, start: number): { end: number; hasEscape: boolean } {
  let hasEscape = false;
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) return { end: at + 1, hasEscape };
    if (char === BACKSLASH) {
      hasEscape = true;
      at += 1;
    }
  }
  return { end: text.length, hasEscape };
}

function endOfNumber(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && isNumberPart(text.charCodeAt(at))) at += 1;
  return at;
}

function numberFault(token: string, frames: readonly Frame[]): AppError | null {
  if (isExactNumber(token)) return null;
  const detail = `The number ${quoted(token)} does not fit a double; send it as a string.`;
  return new AppError('NUMBER_PRECISION', detail, {
    errors: [{ pointer: pointerOf(frames), detail }],
  });
}

/** UTF-8 cannot hold a lone surrogate, so only `\uXXXX` escapes can smuggle one in. */
function surrogateFault(
  text: string,
  start: number,
  end: number,
  frames: readonly Frame[],
): AppError | null {
  let slash = text.indexOf('\\', start);
  while (slash >= 0 && slash < end) {
    const unit = escapedUnit(text, slash);
    if (unit >= 0xd800 && unit <= 0xdfff) {
      const next = escapedUnit(text, slash + 6);
      const isPair = unit < 0xdc00 && next >= 0xdc00 && next <= 0xdfff;
      if (!isPair) return loneSurrogate(frames);
      slash += 6;
    }
    slash = text.indexOf('\\', slash + (unit >= 0 ? 6 : 2));
  }
  return null;
}

function loneSurrogate(frames: readonly Frame[]): AppError {
  const detail = 'A text holds half of a surrogate pair.';
  const errors: FieldError[] = [{ pointer: pointerOf(frames), detail }];
  return new AppError('INVALID_JSON', detail, { errors });
}

/** The code unit of a `\uXXXX` escape at this place, or -1. */
function escapedUnit(text: string, at: number): number {
  if (text.charCodeAt(at) !== BACKSLASH || text.charCodeAt(at + 1) !== LETTER_U) return -1;
  const hex = text.slice(at + 2, at + 6);
  return /^[0-9a-fA-F]{4}$/.test(hex) ? Number.parseInt(hex, 16) : -1;
}

function pointerOf(frames: readonly Frame[]): string {
  return frames.map((frame) => `/${frame.isArray ? frame.index : memberName(frame)}`).join('');
}

function memberName(frame: Frame): string {
  try {
    const name = JSON.parse(frame.name) as string;
    return escapeStep(name.replace(/\p{Surrogate}/gu, '\uFFFD'));
  } catch {
    return '';
  }
}

const quoted = (token: string): string =>
  token.length > MAX_QUOTED ? `${token.slice(0, MAX_QUOTED)}…` : token;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const isDigit = (char: number): boolean => char >= 0x30 && char <= 0x39;

/** Digits, and what may stand between them: + - . E e */
const isNumberPart = (char: number): boolean =>
  isDigit(char) || char === 0x2b || char === MINUS || char === 0x2e || (char | 0x20) === 0x65;
