/** Turns schema issues into one error: every bad field with its JSON pointer. */
import type { z } from 'zod';
import { AppError, ERROR_CODES, type ErrorCode, type FieldError } from '../domain/errors.ts';
import { fieldErrorsOf } from '../domain/field-errors.ts';

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
  const errors = fieldErrorsOf(issues, value, { isQuery: what === 'query' });
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

function detailOf(errors: readonly FieldError[], what: string): string {
  const [first] = errors;
  if (!first) return `The ${what} is not valid.`;
  const place = first.pointer === '' ? `The ${what}` : `${what} ${first.pointer}`;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return `${place}: ${first.detail}${more}`;
}
