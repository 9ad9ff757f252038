/**
 * Changes single members of a YAML block mapping in its text: what a change is not about keeps its
 * bytes, comments, quotes and layout. A member whose value cannot be replaced in place is written anew,
 * in the manner it was written in. Whoever calls checks that the result reads as wanted.
 */
import { isMap, isNode, isPair, isScalar, isSeq, stringify } from 'yaml';
import type { Document, Node, Pair, Scalar, ToStringOptions, YAMLMap } from 'yaml';
import { canonicalJson, isJsonObject, type Json, type JsonObject } from '../../domain/json.ts';
import { lineStart, nextLine } from './markdown/lines.ts';

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** A member as it stands in the text. */
interface Member {
  readonly name: string;
  readonly key: Scalar<string>;
  readonly value: Node | null;
}

export interface SplicedYaml {
  /** The text, and the document it was parsed to. */
  readonly yaml: string;
  readonly document: Document;
  readonly before: JsonObject;
  readonly wanted: JsonObject;
  readonly eol: string;
}

/** The text with `wanted` instead of `before`; null for anything but a block mapping with plain names. */
export function spliceFrontmatter(spliced: SplicedYaml): string | null {
  const { yaml, document, before, wanted, eol } = spliced;
  const members =
    isMap(document.contents) && !document.contents.flow && membersOf(document.contents);
  if (!members) return null;
  const edits = members.flatMap((member): Edit[] => {
    const { name } = member;
    if (!Object.hasOwn(wanted, name)) return [{ ...linesOf(yaml, member), text: '' }];
    return changeMember(yaml, member, [before[name]!, wanted[name]!]);
  });
  const added = Object.keys(wanted).filter((name) => !Object.hasOwn(before, name));
  const more = added.map((name) => stringify({ [name]: wanted[name] }, { lineWidth: 0 }));
  const end = yaml.length;
  return applied(yaml, [...edits, { start: end, end, text: more.join('') }], eol);
}

/** Null unless every name is a text of its own and every pair stands in this text. */
function membersOf(map: YAMLMap): Member[] | null {
  const members: Member[] = [];
  for (const pair of map.items as readonly unknown[]) {
    const member = isPair(pair) ? memberOf(pair) : null;
    if (!member) return null;
    members.push(member);
  }
  return members;
}

function memberOf({ key, value }: Pair): Member | null {
  if (!isScalar(key) || typeof key.value !== 'string' || !key.range) return null;
  if (value !== null && !(isNode(value) && value.range)) return null;
  return { name: key.value, key: key as Scalar<string>, value };
}

/** The whole lines a member stands on. */
function linesOf(yaml: string, { key, value }: Member): { start: number; end: number } {
  const [start, keyEnd] = key.range!;
  const last = Math.max(keyEnd, (value?.range?.[1] ?? keyEnd) - 1);
  return { start: lineStart(yaml, start), end: nextLine(yaml, last) };
}

type Change = readonly [before: Json, wanted: Json];

function changeMember(yaml: string, member: Member, change: Change): Edit[] {
  const [, wanted] = change;
  const { name, key, value } = member;
  const inPlace = changeValue(yaml, value, change);
  if (inPlace) return inPlace;
  const { start, end } = linesOf(yaml, member);
  const indentSeq = !(isSeq(value) && columnOf(yaml, value) <= columnOf(yaml, key));
  const text = stringify({ [name]: wanted }, { lineWidth: 0, indentSeq });
  return [{ start, end, text }];
}

/** The edits inside a value; null when it has to be written anew as a whole. */
function changeValue(yaml: string, node: Node | null, [before, wanted]: Change): Edit[] | null {
  if (canonicalJson(before) === canonicalJson(wanted)) return [];
  const inside = isMap(node) ? changeInside(yaml, node, [before, wanted]) : null;
  if (inside) return inside;
  const manner = node && mannerOnOneLine(yaml, node, wanted);
  if (!manner || !node.range) return null;
  const [start, end] = node.range;
  const text = stringify(wanted, null, { lineWidth: 0, ...manner }).trimEnd();
  return start < end && !/[\r\n]/.test(yaml.slice(start, end) + text)
    ? [{ start, end, text }]
    : null;
}

/** How a value on one line is written, for a value that can take its place there. */
function mannerOnOneLine(yaml: string, node: Node, wanted: Json): ToStringOptions | null {
  const isCollection = typeof wanted === 'object' && wanted !== null;
  if (isScalar(node)) {
    const { type } = node;
    const isQuoted = type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE';
    return isCollection ? null : { defaultStringType: isQuoted ? type : 'PLAIN' };
  }
  if (!isCollection || !(isMap(node) || isSeq(node)) || node.flow !== true) return null;
  const flowCollectionPadding = /^[[{] /.test(yaml.slice(node.range?.[0]));
  return { collectionStyle: 'flow', flowCollectionPadding };
}

/** Values of a mapping whose names stay. */
function changeInside(yaml: string, map: YAMLMap, [before, wanted]: Change): Edit[] | null {
  const members = membersOf(map);
  if (!members || !isJsonObject(before) || !isJsonObject(wanted)) return null;
  const isSameNames =
    members.length === Object.keys(wanted).length &&
    members.every(({ name }) => Object.hasOwn(before, name) && Object.hasOwn(wanted, name));
  if (!isSameNames) return null;
  const edits = members.map(({ name, value }) =>
    changeValue(yaml, value, [before[name]!, wanted[name]!]),
  );
  return edits.every((edit) => edit !== null) ? edits.flat() : null;
}

function columnOf(yaml: string, node: Node): number {
  const [start = 0] = node.range ?? [];
  return start - lineStart(yaml, start);
}

function applied(text: string, edits: readonly Edit[], eol: string): string {
  let result = '';
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.start - b.start)) {
    result += text.slice(at, edit.start) + edit.text.replaceAll('\n', eol);
    at = edit.end;
  }
  return result + text.slice(at);
}
