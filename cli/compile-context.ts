/** Contexts as one Markdown text within a budget: whole contexts, the newest first to get a place. */
import type { Context } from '../client/index.ts';
import { isObject } from './json-edit.ts';
import { prettyJson } from './output.ts';

export interface CompiledContext {
  readonly text: string;
  readonly included: number;
  readonly leftOut: number;
}

const HEAD = '# Shared context (kept in step by Syncline)\n';
/** Room kept for the line that says what was left out. */
const NOTE_BYTES = 120;

/** At most `maxBytes` of UTF-8. Contexts come out in key order; `contexts` is newest first. */
export function compileContext(contexts: readonly Context[], maxBytes: number): CompiledContext {
  const chosen: { key: string; text: string }[] = [];
  let left = maxBytes - Buffer.byteLength(HEAD) - NOTE_BYTES;
  for (const context of contexts) {
    const text = sectionOf(context);
    const size = Buffer.byteLength(text);
    if (size > left) continue;
    left -= size;
    chosen.push({ key: context.key, text });
  }
  const leftOut = contexts.length - chosen.length;
  if (chosen.length === 0) return { text: '', included: 0, leftOut };
  chosen.sort((a, b) => (a.key < b.key ? -1 : 1));
  const note = leftOut === 0 ? '' : `\n(${leftOut} more contexts did not fit.)\n`;
  return {
    text: HEAD + chosen.map(({ text }) => text).join('') + note,
    included: chosen.length,
    leftOut,
  };
}

function sectionOf({ key, kind, data }: Context): string {
  if (kind === 'memory' && isObject(data)) return memorySection(key, data);
  if (kind === 'document' && isObject(data) && typeof data['text'] === 'string') {
    return `\n## ${oneLine(textOf(data['path'], key))}\n\n${fenced('markdown', data['text'])}\n`;
  }
  return `\n## ${oneLine(key)}\n\n${fenced('json', prettyJson(data))}\n`;
}

function memorySection(key: string, data: Record<string, unknown>): string {
  const observations = listOf(data['observations']).map((text) => `- ${nested(textOf(text, ''))}`);
  const relations = listOf(data['relations']).map((relation) =>
    isObject(relation)
      ? `- ${oneLine(textOf(relation['type'], 'relates to'))} → ${oneLine(textOf(relation['to'], '?'))}`
      : '',
  );
  const lines = [...observations, ...relations].filter((line) => line !== '');
  return `\n## ${oneLine(textOf(data['name'], key))}\n\n${lines.map((line) => `${line}\n`).join('')}`;
}

/** A fence longer than any in the text, so that the text cannot end it. */
function fenced(language: string, text: string): string {
  const runs = [...text.matchAll(/`{3,}/g)].map(([run]) => run.length);
  const fence = '`'.repeat(Math.max(3, ...runs.map((length) => length + 1)));
  return `${fence}${language}\n${text.replace(/\n$/, '')}\n${fence}`;
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const textOf = (value: unknown, other: string): string =>
  typeof value === 'string' ? value : other;
const oneLine = (text: string): string => text.replace(/\s+/g, ' ');
const nested = (text: string): string => text.replace(/\n/g, '\n  ');
