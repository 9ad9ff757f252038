/**
 * The values many calls share: keys, JSON data, names, cursors, limits.
 * A rule with a code of its own (`INVALID_KEY`, `TOO_DEEP`) carries it in the params;
 * {@link ../validate.ts} turns issues into one problem.
 */
import { z } from 'zod';
import type { ErrorCode } from '../../domain/errors.ts';
import { canonicalJson, isJsonObject, type Json, type JsonObject } from '../../domain/json.ts';
import { MAX_DATA_DEPTH, isDeeperThan } from '../json/depth.ts';

/** Longest key, in code points. */
export const MAX_KEY_CODE_POINTS = 512;
/** Most rows one page of a list may have. */
export const MAX_LIMIT = 1000;
const DEFAULT_LIMIT = 100;
/** Postgres `integer`. */
const MAX_INTEGER = 2_147_483_647;
/** 100 years. */
const MAX_TTL_SECONDS = 3_153_600_000;
const MAX_PREFIX_CODE_POINTS = 190;
/** A key of 512 code points, up to four bytes each, in base64. */
const MAX_CURSOR_LENGTH = 4096;

const withCode = (code: ErrorCode): { code: ErrorCode } => ({ code });
const codePoints = (text: string): number => [...text].length;
const hasControl = (text: string): boolean => /\p{Cc}/u.test(text);

/** Whether a text or name anywhere in the value holds U+0000; the depth is known to be bounded. */
function hasNul(value: Json): boolean {
  if (typeof value === 'string') return value.includes('\0');
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([name, member]) => name.includes('\0') || hasNul(member));
}

const isKey = (text: string): boolean =>
  text.length > 0 &&
  text !== '.' &&
  text !== '..' &&
  text.length <= 2 * MAX_KEY_CODE_POINTS &&
  codePoints(text) <= MAX_KEY_CODE_POINTS &&
  !hasControl(text);

const KEY_RULE =
  'A key has 1–512 characters, none of them a control character, and is not `.` or `..`.';

/** Key of a context. */
export const keySchema = z
  .string()
  .refine(isKey, { error: KEY_RULE, params: withCode('INVALID_KEY') })
  .meta({ description: KEY_RULE, examples: ['proj/notes'] });

/** A short text without control characters; for names, tags, ids of sessions and agents. */
export function nameSchema(maxCodePoints: number): z.ZodString {
  return z
    .string()
    .min(1, 'must not be empty')
    .refine((text) => codePoints(text) <= maxCodePoints, {
      error: `must have at most ${maxCodePoints} characters`,
    })
    .refine((text) => !hasControl(text), { error: 'must not contain control characters' });
}

/** The part of the keys a list or link is about; may be empty (every key). */
export const prefixSchema = z
  .string()
  .refine((text) => codePoints(text) <= MAX_PREFIX_CODE_POINTS && !hasControl(text), {
    error: `must have at most ${MAX_PREFIX_CODE_POINTS} characters, none of them a control character`,
  })
  .meta({ description: 'Start of the keys meant.', examples: ['proj/'] });

/** Any JSON value, at most 200 containers deep. Missing is not null. */
export const dataSchema = z
  .custom<Json>((value) => value !== undefined, { error: 'is required' })
  .refine((value) => !isDeeperThan(value, MAX_DATA_DEPTH), {
    error: `is nested deeper than ${MAX_DATA_DEPTH}`,
    params: withCode('TOO_DEEP'),
  })
  .meta({ description: 'Any JSON value, at most 200 containers deep.', override: {} });

const bytesOf = (value: Json): number => Buffer.byteLength(canonicalJson(value));
/** Whether the other rules hold that measuring relies on. */
const isMeasurable = (value: unknown): boolean =>
  isJsonObject(value) && !isDeeperThan(value, MAX_DATA_DEPTH);

/** A JSON object, at most 200 containers deep, without U+0000 (kept in a column that has no such). */
export const jsonObjectSchema = z
  .custom<JsonObject>(isJsonObject, { error: 'must be an object' })
  .refine((value) => !isDeeperThan(value, MAX_DATA_DEPTH), {
    error: `is nested deeper than ${MAX_DATA_DEPTH}`,
    params: withCode('TOO_DEEP'),
  })
  .refine((value) => isDeeperThan(value, MAX_DATA_DEPTH) || !hasNul(value), {
    error: 'must not contain the character U+0000',
  })
  .meta({ override: { type: 'object', additionalProperties: true } });

/** Bytes of canonical JSON that metadata may have: it comes with every list and search. */
export const MAX_METADATA_BYTES = 64 * 1024;

/** What a writer says about a context: a small JSON object. */
export const metadataSchema = jsonObjectSchema
  .refine((value) => !isMeasurable(value) || bytesOf(value) <= MAX_METADATA_BYTES, {
    error: `must have at most ${MAX_METADATA_BYTES} bytes of JSON`,
  })
  .meta({
    description: `A JSON object, at most ${MAX_METADATA_BYTES} bytes of it; what is larger belongs into \`data\`.`,
    override: { type: 'object', additionalProperties: true },
  });

/** A whole number given in a body; told in the words of {@link queryInteger}. */
export function wholeNumber(min: number, max: number): z.ZodInt {
  const error = ({ input }: { readonly input?: unknown }): string | undefined =>
    input === undefined ? undefined : `must be a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

/** A version number as a write states it; 0 = "must not exist". */
export const ifVersionSchema = wholeNumber(0, MAX_INTEGER).meta({
  description: 'Write only if this is the current version; 0 = must not exist.',
});

export const ttlSchema = wholeNumber(1, MAX_TTL_SECONDS)
  .nullable()
  .meta({ description: 'Seconds to live; null = for ever. Default 86400.', examples: [3600] });

const digits = (text: string): number => (/^\d{1,12}$/.test(text) ? Number(text) : Number.NaN);

/** A whole number given in the query string. */
export function queryInteger(min: number, max: number): z.ZodType<number, string> {
  return z
    .string()
    .transform(digits)
    .refine((value) => value >= min && value <= max, {
      error: `must be a whole number from ${min} to ${max}`,
    })
    .meta({ override: { type: 'integer', minimum: min, maximum: max } });
}

export const queryVersion = queryInteger(1, MAX_INTEGER);
export const queryIfVersion = queryInteger(0, MAX_INTEGER);
export const queryLimit = queryInteger(1, MAX_LIMIT)
  .default(DEFAULT_LIMIT)
  .meta({ description: `Rows per page, at most ${MAX_LIMIT}.` });

/** Seconds to wait, fractions allowed. */
export const queryWait = z
  .string()
  .transform((text) => (/^\d{1,3}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN))
  .refine((seconds) => seconds >= 0 && seconds <= 30, { error: 'must be 0 to 30 seconds' })
  .meta({
    description: 'Seconds to wait for a change before answering an empty page.',
    override: { type: 'number', minimum: 0, maximum: 30 },
  });

/** A place in a list, exactly as an earlier answer gave it. */
export const cursorSchema = z
  .string()
  .refine((text) => text.length > 0 && text.length <= MAX_CURSOR_LENGTH && !hasControl(text), {
    error: 'is not a cursor of ours',
    params: withCode('INVALID_CURSOR'),
  })
  .meta({ description: '`nextCursor` of the page before.' });

/** Id (or, where said, name) of a link, run or conflict in a path. */
export const idSchema = nameSchema(128);

/** A page of rows. */
export function pageSchema<Row extends z.ZodType>(
  row: Row,
): z.ZodObject<{ items: z.ZodReadonly<z.ZodArray<Row>>; nextCursor: z.ZodNullable<z.ZodString> }> {
  return z.object({
    items: z.array(row).readonly(),
    nextCursor: z.string().nullable().meta({ description: 'Null on the last page.' }),
  });
}

/** A point in time, ISO 8601 in UTC. */
export const timeSchema = z.string().meta({ override: { type: 'string', format: 'date-time' } });
