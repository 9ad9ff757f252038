/**
 * When two values are the same: looks through member order, the order of sets and keyed lists,
 * doubles in sets, and -0 against 0; at nothing else.
 * Every value gets the number of its class once, so that a whole merge costs one pass over its input.
 */
import { isJsonObject, type Json, type JsonObject } from '../../domain/json.ts';
import { childNode, type SchemaNode } from './field-types.ts';
import { keyedElements } from './keyed-list.ts';

export interface Sameness {
  /** Undefined stands for "not there", and is the same only as itself. */
  same(a: Json | undefined, b: Json | undefined, node: SchemaNode | null): boolean;
  /** Equal for same values, different for others, within this object. */
  classOf(value: Json, node: SchemaNode | null): number;
}

/** A fresh comparison; keep it for one merge, as it remembers every container it has seen. */
export function createSameness(): Sameness {
  const shapes = new Map<string, number>();
  const texts = new Map<string, number>();
  let count = 0;
  const seen = new Map<SchemaNode | null, Map<object, number>>();

  const intern = (known: Map<string, number>, name: string): number => {
    const found = known.get(name);
    if (found !== undefined) return found;
    known.set(name, count);
    return count++;
  };

  const classOf = (value: Json, node: SchemaNode | null): number => {
    if (typeof value === 'string') return intern(texts, value);
    // String() writes -0 as 0.
    if (typeof value !== 'object' || value === null) return intern(shapes, String(value));
    const memo = seen.get(node) ?? new Map<object, number>();
    seen.set(node, memo);
    const known = memo.get(value);
    if (known !== undefined) return known;
    const found = intern(
      shapes,
      Array.isArray(value) ? listShape(value, node, classOf) : objectShape(value, node, classOf),
    );
    memo.set(value, found);
    return found;
  };

  const same: Sameness['same'] = (a, b, node) => {
    if (a === b) return true;
    // Scalars that are not === are different; -0 === 0 already.
    if (!isContainer(a) || !isContainer(b)) return false;
    return classOf(a, node) === classOf(b, node);
  };
  return { same, classOf };
}

type ClassOf = Sameness['classOf'];

function objectShape(value: JsonObject, node: SchemaNode | null, classOf: ClassOf): string {
  const members = Object.keys(value)
    .sort()
    .map((name) => {
      const part = partShape(value[name] as Json, childNode(node, name), classOf);
      return `${JSON.stringify(name)}:${part}`;
    });
  return `{${members.join(',')}`;
}

function listShape(list: readonly Json[], node: SchemaNode | null, classOf: ClassOf): string {
  const element = childNode(node, '*');
  const ids = (): number[] => list.map((item) => classOf(item, element));
  if (node?.type?.type === 'set') return `set${ascending(new Set(ids())).join(',')}`;
  if (node?.type?.type === 'map-by-key' && keyedElements([...list], node.type.fields)) {
    return `map${ascending(ids()).join(',')}`;
  }
  return `[${list.map((item) => partShape(item, element, classOf)).join(',')}`;
}

/** Scalars stand for themselves (cheaper than a number of their own), containers for their class. */
function partShape(value: Json, node: SchemaNode | null, classOf: ClassOf): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value !== 'object' || value === null) return String(value);
  return `#${classOf(value, node)}`;
}

function ascending(ids: Iterable<number>): number[] {
  return [...ids].sort((a, b) => a - b);
}

function isContainer(value: Json | undefined): value is JsonObject | Json[] {
  return Array.isArray(value) || isJsonObject(value);
}
