/**
 * A document as frontmatter and text, both ways. Reading what was rendered gives the same document;
 * what a change is not about keeps its bytes.
 */
import { parseDocument, stringify, type Document } from 'yaml';
import { AppError, messageOf } from '../../domain/errors.ts';
import { canonicalJson, isJson, isJsonObject, type JsonObject } from '../../domain/json.ts';
import { dominantEol } from './markdown/lines.ts';
import { spliceFrontmatter, type SplicedYaml } from './splice-frontmatter.ts';

export interface FrontmatterDocument {
  readonly frontmatter: JsonObject;
  readonly text: string;
}

interface Parts {
  /** The whole block with both `---` lines; empty when there is none. */
  readonly block: string;
  readonly yaml: string;
  readonly text: string;
}

const FENCED = /^---[ \t]*(?:\r\n|\n)((?:[^]*?(?:\r\n|\n))??)---[ \t]*(?:\r\n|\n|$)/;

/** How many characters a text's frontmatter takes, with both its `---` lines; 0 without one. */
export function frontmatterLength(source: string): number {
  return partsOf(source).block.length;
}

/** @throws AppError REMOTE_MALFORMED for frontmatter that is not a YAML mapping of JSON values */
export function parseFrontmatter(source: string): FrontmatterDocument {
  const { block, yaml, text } = partsOf(source);
  if (block === '') return { frontmatter: {}, text };
  return { frontmatter: objectOf(parsed(yaml)), text };
}

/**
 * The document's text; `previous` is the file's text so far.
 *
 * @throws AppError ITEM_INVALID when it would not read back as the same document
 */
export function renderFrontmatter(wanted: FrontmatterDocument, previous: string | null): string {
  const candidates = [
    () => changedOnly(wanted, previous, inPlace),
    () => changedOnly(wanted, previous, writtenAnew),
    () => freshText(wanted, true),
    // A text of blanks and line breaks does not survive as a block (yaml 2.9).
    () => freshText(wanted, false),
  ];
  for (const candidate of candidates) {
    const source = attempt(candidate);
    if (source !== null && readsAs(source, wanted)) return source;
  }
  throw new AppError('ITEM_INVALID', 'the document cannot be written so that it reads back equal');
}

function changedOnly(
  wanted: FrontmatterDocument,
  previous: string | null,
  change: (spliced: SplicedYaml) => string | null,
): string | null {
  const old = previous === null ? null : partsOf(previous);
  if (!old || old.block === '') return null;
  const document = parsed(old.yaml);
  const before = objectOf(document);
  if (isSame(before, wanted.frontmatter)) return old.block + wanted.text;
  const eol = old.block.includes('\r\n') ? '\r\n' : '\n';
  const block = change({ yaml: old.yaml, document, before, wanted: wanted.frontmatter, eol });
  return block === null ? null : block + wanted.text;
}

function inPlace(spliced: SplicedYaml): string | null {
  const yaml = spliceFrontmatter(spliced);
  return yaml === null ? null : `---${spliced.eol}${yaml}---${spliced.eol}`;
}

/** Comments and order are kept, spacing and quotes are not. */
function writtenAnew({ document, before, wanted, eol }: SplicedYaml): string {
  for (const name of Object.keys(before)) {
    if (!Object.hasOwn(wanted, name)) document.delete(name);
  }
  for (const [name, value] of Object.entries(wanted)) {
    const isKept =
      Object.hasOwn(before, name) && canonicalJson(before[name]!) === canonicalJson(value);
    if (!isKept) document.set(name, value);
  }
  return blockOf(document.toString({ lineWidth: 0 }), eol);
}

function freshText({ frontmatter, text }: FrontmatterDocument, blockQuote: boolean): string {
  if (Object.keys(frontmatter).length === 0) {
    // Text that itself looks like frontmatter needs an empty one before it.
    return FENCED.test(text) ? `---\n---\n${text}` : text;
  }
  // Lone carriage returns end no line of YAML.
  const eol = dominantEol(text) === '\r\n' ? '\r\n' : '\n';
  return blockOf(stringify(frontmatter, { lineWidth: 0, blockQuote }), eol) + text;
}

function blockOf(yaml: string, eol: string): string {
  const body = yaml === '' || yaml.endsWith('\n') ? yaml : `${yaml}\n`;
  return `---\n${body}---\n`.replaceAll('\n', eol);
}

function readsAs(source: string, wanted: FrontmatterDocument): boolean {
  const read = attempt(() => parseFrontmatter(source));
  return read !== null && read.text === wanted.text && isSame(read.frontmatter, wanted.frontmatter);
}

function partsOf(source: string): Parts {
  const match = FENCED.exec(source);
  if (!match) return { block: '', yaml: '', text: source };
  return { block: match[0], yaml: match[1] ?? '', text: source.slice(match[0].length) };
}

function parsed(yaml: string): Document {
  const document = parseDocument(yaml, { uniqueKeys: true, logLevel: 'error' });
  const [fault] = document.errors;
  if (fault) throw malformed(fault.message);
  return document;
}

function objectOf(document: Document): JsonObject {
  let value: unknown;
  try {
    // `maxAliasCount` stops aliases that would unfold into gigabytes.
    value = document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (thrown) {
    throw malformed(messageOf(thrown));
  }
  if (isJsonObject(value) && isJson(value)) return value;
  throw malformed('it is not a mapping of JSON values');
}

function isSame(a: JsonObject, b: JsonObject): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}

function malformed(detail: string): AppError {
  return new AppError(
    'REMOTE_MALFORMED',
    `the frontmatter cannot be read: ${detail.split('\n')[0]}`,
  );
}
