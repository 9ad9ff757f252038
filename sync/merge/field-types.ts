/**
 * How the arrays and texts of a document merge, by place.
 * Whatever a schema does not name is atomic (arrays) or a plain value (strings); objects always
 * merge by member.
 */
import type { Json } from '../../domain/json.ts';
import { unescapeStep } from '../../domain/json-pointer.ts';

/**
 * - `atomic`: one value, changed as a whole (what an array is when nobody says otherwise).
 * - `set`: order and doubles mean nothing.
 * - `map-by-key`: objects, each found by the values of its key fields; order means nothing.
 * - `append-log`: entries are only added at the end.
 * - `text`: a string merged by line.
 */
export type FieldType =
  | { readonly type: 'atomic' }
  | { readonly type: 'set' }
  | { readonly type: 'map-by-key'; readonly fields: readonly string[] }
  | { readonly type: 'append-log' }
  | { readonly type: 'text' };

export interface DocumentSchema {
  /** JSON pointer → type of what is there. `*` as a step stands for any member or element. */
  readonly types: Readonly<Record<string, FieldType>>;
  /** JSON pointer → a default that gives way to any other value where there is no base. */
  readonly weakDefaults?: Readonly<Record<string, Json>>;
}

/** A schema as a tree, one node per step of its pointers. */
export interface SchemaNode {
  type: FieldType | null;
  weakDefault: Json | undefined;
  readonly children: Map<string, SchemaNode>;
}

/** Turns a schema's pointers into a tree that is walked along with the document. */
export function compileSchema(schema: DocumentSchema): SchemaNode {
  const root = newNode();
  for (const [pointer, type] of Object.entries(schema.types)) nodeAt(root, pointer).type = type;
  for (const [pointer, value] of Object.entries(schema.weakDefaults ?? {})) {
    nodeAt(root, pointer).weakDefault = value;
  }
  return root;
}

/** The node one step down; a step named outright goes before `*`. */
export function childNode(node: SchemaNode | null, step: string): SchemaNode | null {
  return node?.children.get(step) ?? node?.children.get('*') ?? null;
}

function newNode(): SchemaNode {
  return { type: null, weakDefault: undefined, children: new Map() };
}

function nodeAt(root: SchemaNode, pointer: string): SchemaNode {
  let node = root;
  for (const step of pointer.split('/').slice(1)) {
    const name = unescapeStep(step);
    const next = node.children.get(name) ?? newNode();
    node.children.set(name, next);
    node = next;
  }
  return node;
}
