/** Cuts a context down to what `fields` names: envelope members, and JSON pointers into `data`. */
import { AppError } from '../domain/errors.ts';
import { isJsonObject, memberOf, setMember, type Json, type JsonObject } from '../domain/json.ts';
import { unescapeStep } from '../domain/json-pointer.ts';
import type { Context } from '../domain/context.ts';

const MAX_FIELDS = 100;

/**
 * The named parts of a context. A pointer through an array keeps only the chosen elements, in
 * order; one that leads nowhere is left out.
 *
 * @throws AppError VALIDATION for a name that is no member of a context
 */
export function selectFields(context: Context, fields: string): Partial<Context> {
  const names = fields.split(',').map((name) => name.trim());
  if (names.length > MAX_FIELDS) throw bad(`names more than ${MAX_FIELDS} fields`);
  const selected: Record<string, unknown> = {};
  for (const name of names.filter((each) => !each.startsWith('/'))) {
    if (!Object.hasOwn(context, name)) throw bad(`\`${name}\` is not a member of a context`);
    selected[name] = context[name as keyof Context];
  }
  const paths = names.filter((each) => each.startsWith('/')).map(parsePointer);
  const hasWholeData = 'data' in selected;
  const data = hasWholeData ? undefined : project(context.data, paths);
  return data === undefined ? selected : { ...selected, data };
}

function bad(detail: string): AppError {
  const errors = [{ pointer: '/fields', detail }];
  return new AppError('VALIDATION', `/fields: ${detail}`, { errors });
}

function parsePointer(pointer: string): readonly string[] {
  if (/~(?![01])/.test(pointer)) throw bad(`\`${pointer}\` is not a JSON pointer`);
  return pointer.slice(1).split('/').map(unescapeStep);
}

function project(value: Json, paths: readonly (readonly string[])[]): Json | undefined {
  if (paths.some((path) => path.length === 0)) return value;
  if (Array.isArray(value)) return projectArray(value, paths);
  if (!isJsonObject(value)) return undefined;
  const kept: JsonObject = {};
  for (const name of firstParts(paths)) {
    const member = memberOf(value, name);
    const part = member === undefined ? undefined : project(member, tailsOf(paths, name));
    if (part !== undefined) setMember(kept, name, part);
  }
  return Object.keys(kept).length > 0 ? kept : undefined;
}

function projectArray(value: Json[], paths: readonly (readonly string[])[]): Json | undefined {
  const indexes = firstParts(paths)
    .filter((part) => /^(0|[1-9]\d*)$/.test(part))
    .sort((a, b) => Number(a) - Number(b));
  const kept = indexes.flatMap((index) => {
    const element = value[Number(index)];
    const part = element === undefined ? undefined : project(element, tailsOf(paths, index));
    return part === undefined ? [] : [part];
  });
  return kept.length > 0 ? kept : undefined;
}

const firstParts = (paths: readonly (readonly string[])[]): string[] => [
  ...new Set(paths.flatMap((path) => path.slice(0, 1))),
];

const tailsOf = (paths: readonly (readonly string[])[], head: string): (readonly string[])[] =>
  paths.filter((path) => path[0] === head).map((path) => path.slice(1));
