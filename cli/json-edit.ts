/** Changes to somebody's JSON file: only what is new is written, all other bytes stay. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, realpath, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  findNodeAtLocation,
  parse,
  parseTree,
  printParseErrorCode,
  type Node,
  type ParseError,
} from 'jsonc-parser';
import { messageOf } from './exit-code.ts';

export type JsonPath = readonly (string | number)[];

/** A JSON file's text with its value; text '' and value `{}` when there is no file. */
export interface JsonFile {
  readonly path: string;
  readonly text: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** @throws Error naming the file and the line when it is not a JSON object (comments are fine) */
export async function readJsonFile(path: string): Promise<JsonFile> {
  const text = await readTextIfThere(path);
  if (text.trim() === '') return { path, text, value: {} };
  const faults: ParseError[] = [];
  const value: unknown = parse(text, faults, { allowTrailingComma: false });
  const [fault] = faults;
  if (fault) {
    const line = text.slice(0, fault.offset).split('\n').length;
    throw new Error(
      `${path} is not valid JSON (line ${line}: ${printParseErrorCode(fault.error)}); nothing was written`,
    );
  }
  if (!isObject(value)) throw new Error(`${path} is not a JSON object; nothing was written`);
  return { path, text, value };
}

/**
 * The text with `value` at `path`; a path ending in -1 appends to a list. (jsonc-parser has an
 * editor of its own, but that lays out anew what stands beside the change.)
 */
export function withValue(text: string, path: JsonPath, value: unknown): string {
  const source = text.trim() === '' ? '{}\n' : text;
  const root = parseTree(source);
  const node = root && findNodeAtLocation(root, [...path]);
  if (node) return spliced(source, node, JSON.stringify(value));
  const parent = root && findNodeAtLocation(root, path.slice(0, -1));
  const name = path.at(-1);
  if (parent) return withMember(source, parent, { name, value });
  return withValue(source, path.slice(0, -1), { [String(name)]: value });
}

interface Member {
  /** -1 in a list. */
  readonly name: string | number | undefined;
  readonly value: unknown;
}

/** Adds a member at the end: on lines of its own, unless the others stand on one line. */
function withMember(source: string, parent: Node, { name, value }: Member): string {
  const { unit, eol } = styleOf(source);
  const label = parent.type === 'array' ? '' : `${JSON.stringify(name)}: `;
  const lines = (indent: string): string =>
    label + JSON.stringify(value, null, unit).replaceAll('\n', eol + indent);
  const last = parent.children?.at(-1);
  if (last) {
    const end = last.offset + last.length;
    const indent = indentBefore(source, last.offset);
    const added =
      indent === null ? ` ${label}${JSON.stringify(value)}` : eol + indent + lines(indent);
    return `${source.slice(0, end)},${added}${source.slice(end)}`;
  }
  const [open, close] = parent.type === 'array' ? ['[', ']'] : ['{', '}'];
  const outer = /^[ \t]*/.exec(source.slice(lineStart(source, parent.offset)))?.[0] ?? '';
  const inner = outer + unit;
  // Only comments can stand in an empty container; they stay.
  const kept = source.slice(parent.offset + 1, parent.offset + parent.length - 1).trimEnd();
  const text = `${open}${kept}${eol}${inner}${lines(inner)}${eol}${outer}${close}`;
  return spliced(source, parent, text);
}

function spliced(source: string, { offset, length }: Node, text: string): string {
  return source.slice(0, offset) + text + source.slice(offset + length);
}

function lineStart(source: string, at: number): number {
  return source.lastIndexOf('\n', at - 1) + 1;
}

/** The white space in front of a value that is the first on its line; null when it is not. */
function indentBefore(source: string, at: number): string | null {
  const before = source.slice(lineStart(source, at), at);
  return before.trim() === '' && lineStart(source, at) > 0 ? before : null;
}

/** Replaces the file in one step; a linked file is replaced where it lies. */
export async function writeTextFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const real = await realpath(path).catch(() => path);
  const draft = `${real}.${randomBytes(6).toString('hex')}.tmp`;
  await writeFile(draft, text);
  await rename(draft, real);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** New lines look like those that are there. */
function styleOf(source: string): { unit: string; eol: string } {
  return {
    unit: /^([ \t]+)\S/m.exec(source)?.[1] ?? '  ',
    eol: source.includes('\r\n') ? '\r\n' : '\n',
  };
}

async function readTextIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw new Error(`cannot read ${path}: ${messageOf(error)}`);
  }
}
