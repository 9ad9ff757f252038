/** What a schema found wrong, in words for whoever sent the value: one line per place, no value repeated. */
import type { z } from 'zod';
import type { FieldError } from './errors.ts';
import { pointerTo } from './json-pointer.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

export interface FieldErrorOptions {
  /** Where the value stands in what was sent; the start of every pointer. */
  readonly at?: Path;
  /** Whether a list stands for a parameter that was given twice. */
  readonly isQuery?: boolean;
}

/** Every bad field of `value` with its JSON pointer. */
export function fieldErrorsOf(
  issues: readonly Issue[],
  value: unknown,
  { at = [], isQuery = false }: FieldErrorOptions = {},
): FieldError[] {
  const found = issues.flatMap(closest).flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        pointer: jsonPointer([...at, ...issue.path, key]),
        detail: 'is not a field of this request',
      }));
    }
    const detail = wordingOf(issue, isQuery, valueAt(value, issue.path) === undefined);
    return [{ pointer: jsonPointer([...at, ...issue.path]), detail }];
  });
  // A value may break two rules that are told in one.
  return [...new Map(found.map((each) => [`${each.pointer} ${each.detail}`, each])).values()];
}

/**
 * Of a value that fits none of several forms, the faults of the form it comes closest to; the fault
 * itself where two are as close.
 */
function closest(issue: Issue): readonly Issue[] {
  if (issue.code !== 'invalid_union' || issue.discriminator !== undefined) return [issue];
  const forms = issue.errors
    .filter((faults) => !faults.some(isOfAnotherType))
    .toSorted((a, b) => a.length - b.length);
  const [first, second] = forms;
  if (!first || first.length === second?.length) return [issue];
  // Of the value as a whole, what was written for all the forms says more than one of them.
  if (isOwn(issue) && first.every(isOfTheWhole)) return [issue];
  return first
    .map((fault) => ({ ...fault, path: [...issue.path, ...fault.path] }))
    .flatMap(closest);
}

const isOfAnotherType = ({ code, path }: Issue): boolean =>
  code === 'invalid_type' && path.length === 0;

const isOfTheWhole = ({ code, path }: Issue): boolean =>
  code !== 'unrecognized_keys' && path.length === 0;

/** Whether a schema of ours says it in its own words, not Zod. */
const isOwn = ({ message }: Issue): boolean => !/^(?:Invalid|Too small:|Too big:)/.test(message);

function wordingOf(issue: Issue, isQuery: boolean, isMissing: boolean): string {
  if (isMissing && !isOwn(issue)) return 'is required';
  if (issue.code === 'invalid_union' && issue.discriminator !== undefined)
    return 'has a value that is not known';
  if (isOwn(issue)) return issue.message;
  if (issue.code === 'too_small') return boundOf(issue, issue.minimum, ['at least', 'more than']);
  if (issue.code === 'too_big') return boundOf(issue, issue.maximum, ['at most', 'less than']);
  if (issue.code === 'invalid_format' && issue.format === 'url') return 'must be an address (URL)';
  if (issue.code === 'invalid_value') return `must be ${choiceOf(issue.values)}`;
  if (issue.code !== 'invalid_type') return issue.message;
  // Zod tells what was there only by the end of its message.
  const isRepeated = isQuery && issue.message.endsWith('received array');
  return isRepeated ? 'must not be repeated' : `must be ${withArticle(issue.expected)}`;
}

interface Bound {
  readonly origin: string;
  readonly inclusive?: boolean | undefined;
}

/** What is counted in a value that is no number. */
const COUNTED: Readonly<Record<string, string>> = {
  string: 'character(s)',
  array: 'item(s)',
  set: 'item(s)',
  map: 'item(s)',
};

function boundOf(
  { origin, inclusive = true }: Bound,
  bound: number | bigint,
  [withIt, withoutIt]: readonly [string, string],
): string {
  const counted = COUNTED[origin];
  const limit = `${inclusive ? withIt : withoutIt} ${bound}`;
  if (counted === undefined) return `must be ${limit}`;
  return limit === 'at least 1' ? 'must not be empty' : `must have ${limit} ${counted}`;
}

function choiceOf(values: readonly unknown[]): string {
  const told = values.map((value) => `\`${String(value)}\``).join(', ');
  return values.length === 1 ? told : `one of ${told}`;
}

function withArticle(type: string): string {
  if (type === 'int') return 'a whole number';
  return `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`;
}

/** What stands at a path of a value; undefined: nothing does. */
function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<PropertyKey, unknown>)[part];
  }
  return at;
}

/** RFC 6901 text of a path. */
function jsonPointer(path: Path): string {
  return path.reduce<string>((parent, part) => pointerTo(parent, String(part)), '');
}
