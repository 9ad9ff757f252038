/** Shows a JSON Schema as a table of its members. */
import { escapeHtml } from '../../domain/escape-html.ts';
import { code, inline } from './html.ts';

/** The parts of a JSON Schema this page knows how to show. */
export interface SchemaNode {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
}

export type Components = Readonly<Record<string, SchemaNode>>;

const MAX_NESTING = 4;

/** A table of members, nested ones with a dotted name; empty for a schema without members. */
export function schemaTable(schema: SchemaNode, components: Components): string {
  const rows = memberRows(schema, components, '', 0);
  return rows.length === 0
    ? `<p>${typeText(schema)}</p>`
    : `<div class="scroll"><table><tr><th>Member</th><th>Type</th><th>Meaning</th></tr>${rows.join('')}</table></div>`;
}

function memberRows(
  schema: SchemaNode,
  components: Components,
  prefix: string,
  nesting: number,
): string[] {
  const shape = resolve(schema, components);
  return Object.entries(shape.properties ?? {}).flatMap(([name, member]) => {
    const path = `${prefix}${name}`;
    const isRequired = shape.required?.includes(name) === true;
    const row = `<tr><td>${code(path)}${isRequired ? '' : ' <span class="dim">optional</span>'}</td><td>${typeText(member)}</td><td>${meaning(resolve(member, components), member)}</td></tr>`;
    return nesting < MAX_NESTING ? [row, ...nestedRows(member, components, path, nesting)] : [row];
  });
}

function nestedRows(
  member: SchemaNode,
  components: Components,
  path: string,
  nesting: number,
): string[] {
  const shape = nonNull(resolve(member, components), components);
  if (shape.items) {
    return memberRows(resolve(shape.items, components), components, `${path}[].`, nesting + 1);
  }
  return memberRows(shape, components, `${path}.`, nesting + 1);
}

/** The one alternative that is not null, where there is just one. */
function nonNull(schema: SchemaNode, components: Components): SchemaNode {
  const choices = (schema.anyOf ?? schema.oneOf)?.filter((choice) => choice.type !== 'null') ?? [];
  const [only] = choices;
  return choices.length === 1 && only ? resolve(only, components) : schema;
}

function resolve(schema: SchemaNode, components: Components): SchemaNode {
  if (schema.$ref === undefined) return schema;
  return components[refName(schema.$ref)] ?? {};
}

const refName = (ref: string): string => ref.split('/').at(-1) ?? ref;

/** A short name for what a value may be. */
export function typeText(schema: SchemaNode): string {
  if (schema.$ref !== undefined) return escapeHtml(refName(schema.$ref));
  if (schema.const !== undefined) return code(JSON.stringify(schema.const));
  if (schema.enum) return schema.enum.map((value) => code(JSON.stringify(value))).join(' · ');
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map(typeText).join(' or ');
  if (schema.items) return `array of ${typeText(schema.items)}`;
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? ['any JSON']);
  return escapeHtml(types.join(' or ')) + (schema.format ? ` (${escapeHtml(schema.format)})` : '');
}

function meaning(schema: SchemaNode, member: SchemaNode): string {
  const parts = [
    inline(member.description ?? schema.description ?? ''),
    bounds(schema),
    schema.default === undefined ? '' : `Default ${code(JSON.stringify(schema.default))}.`,
  ];
  return parts.filter((part) => part !== '').join(' ');
}

/** Zod gives every integer the bounds of a safe one; those say nothing. */
function rangeText(minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER): string {
  const hasMinimum = minimum !== Number.MIN_SAFE_INTEGER;
  const hasMaximum = maximum !== Number.MAX_SAFE_INTEGER;
  if (hasMinimum && hasMaximum) return `${minimum} to ${maximum}.`;
  if (hasMinimum) return `At least ${minimum}.`;
  return hasMaximum ? `At most ${maximum}.` : '';
}

function bounds(schema: SchemaNode): string {
  const { minimum, maximum, maxLength, maxItems } = schema;
  const parts = [
    rangeText(minimum, maximum),
    maxLength === undefined ? '' : `At most ${maxLength} characters.`,
    maxItems === undefined ? '' : `At most ${maxItems}.`,
  ];
  return parts.filter((part) => part !== '').join(' ');
}
