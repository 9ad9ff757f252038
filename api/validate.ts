/** Turns schema issues into one error: every bad field with its JSON pointer. */
import type { z } from 'zod';
import { AppError, ERROR_CODES, type ErrorCode, type FieldError } from '../domain/errors.ts';

/** The part of a request that is judged. */
type What = 'body' | 'query' | 'path' | 'message' | 'line';

/**
 * The value as the schema makes it.
 *
 * @throws AppError VALIDATION, or the code of a schema's own rule (INVALID_KEY, TOO_DEEP, …) when
 * no other kind of fault is present
 */
export function validate<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  what: What,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  const errors = issues.flatMap((issue) => fieldErrors(issue, what));
  throw new AppError(commonCode(issues), detailOf(errors, what), { errors });
}

function commonCode(issues: readonly z.core.$ZodIssue[]): ErrorCode {
  const codes = new Set(issues.map(codeOf));
  const [only] = codes;
  return codes.size === 1 && only ? only : 'VALIDATION';
}

function codeOf(issue: z.core.$ZodIssue): ErrorCode {
  const code: unknown = issue.code === 'custom' ? issue.params?.['code'] : undefined;
  return typeof code === 'string' && code in ERROR_CODES ? (code as ErrorCode) : 'VALIDATION';
}

function fieldErrors(issue: z.core.$ZodIssue, what: What): FieldError[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      pointer: jsonPointer([...issue.path, key]),
      detail: 'is not a field of this request',
    }));
  }
  return [{ pointer: jsonPointer(issue.path), detail: wordingOf(issue, what) }];
}

function wordingOf(issue: z.core.$ZodIssue, what: What): string {
  if (issue.code === 'invalid_union' && issue.discriminator !== undefined) {
    return 'has a value that is not known';
  }
  if (issue.code !== 'invalid_type') return issue.message;
  // Zod tells what was there only by the end of its message.
  if (issue.message.endsWith('received undefined')) return 'is required';
  const isRepeated = what === 'query' && issue.message.endsWith('received array');
  return isRepeated ? 'must not be repeated' : `must be ${withArticle(issue.expected)}`;
}

function withArticle(type: string): string {
  if (type === 'int') return 'a whole number';
  return `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`;
}

/** RFC 6901 text of a path. */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return path
    .map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`)
    .join('');
}

function detailOf(errors: readonly FieldError[], what: string): string {
  const [first] = errors;
  if (!first) return `The ${what} is not valid.`;
  const place = first.pointer === '' ? `The ${what}` : `${what} ${first.pointer}`;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return `${place}: ${first.detail}${more}`;
}
