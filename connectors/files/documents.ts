/** Whole files as document items: rules, instructions, droids, skills. */
import { toAppError } from '../../domain/errors.ts';
import { hashJson } from '../../domain/hash.ts';
import { asRemoteId, documentSchema, type DocumentItem } from '../../domain/item.ts';
import type { ApplyOutcome, RemoteEntry, RemoteOp } from '../connector.ts';
import { failed } from './edit-memories.ts';
import { parseFrontmatter, renderFrontmatter } from './frontmatter.ts';
import type { Place } from './places.ts';
import { MAX_FILE_BYTES, readTextFile, type FileState, type TextFile } from './read-file.ts';
import type { FileDecision, SafeWrite } from './safe-write.ts';

/** A file's state as the engine sees it. `id` is its path with the place's prefix. */
export function documentEntry(id: string, state: FileState): RemoteEntry {
  const remoteId = asRemoteId(id);
  const kind = 'document';
  if (state.status === 'missing') return { status: 'absent', remoteId };
  if (state.status === 'faulty') {
    return { status: 'faulty', remoteId, kind, code: state.code, detail: state.detail };
  }
  try {
    const value = documentOf(id, state.text);
    const version = hashJson(value);
    return {
      status: 'present',
      remoteId,
      kind,
      version,
      value,
      changedAtMs: state.changedAtMs,
    };
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    return { status: 'faulty', remoteId, kind, code, detail: message };
  }
}

/** One operation on one document. `path` is relative to the place. @throws AppError (see SafeWrite) */
export async function applyToDocument(
  op: RemoteOp,
  target: DocumentPlace,
  write: SafeWrite,
): Promise<ApplyOutcome> {
  const id = target.place.idPrefix + target.path;
  const parsed = op.action === 'delete' ? null : documentSchema.safeParse(op.value);
  if (parsed?.success === false) return failed(op, 'ITEM_INVALID', 'not a document');
  const wanted = parsed?.data ?? null;
  return write(target.place, target.path, (now) => decide(op, { id, wanted, now }));
}

/** A document's file. */
export interface DocumentPlace {
  readonly place: Place;
  readonly path: string;
}

/** A rename: the new file first, so that the document is never nowhere. @throws AppError (see SafeWrite) */
export async function moveDocument(
  op: RemoteOp,
  way: { readonly from: DocumentPlace; readonly to: DocumentPlace },
  write: SafeWrite,
): Promise<ApplyOutcome> {
  const { from, to } = way;
  const current = documentEntry(op.remoteId, await readTextFile(from.place, from.path));
  if (current.status !== 'present' || current.version !== op.expectedVersion) {
    return { status: 'moved', opId: op.opId, current };
  }
  const create: RemoteOp = { ...op, action: 'create', expectedVersion: null };
  const created = await applyToDocument(create, to, write);
  if (created.status === 'moved') return failed(op, 'ITEM_NAME_TAKEN', `"${to.path}" exists`);
  if (created.status === 'applied') {
    await applyToDocument({ ...op, action: 'delete', value: null }, from, write);
  }
  return created;
}

interface Situation {
  readonly id: string;
  readonly wanted: DocumentItem | null;
  readonly now: TextFile | null;
}

function decide(op: RemoteOp, { id, wanted, now }: Situation): FileDecision<ApplyOutcome> {
  const current = documentEntry(id, now ?? { status: 'missing' });
  const version = current.status === 'present' ? current.version : null;
  if (version !== op.expectedVersion || current.status === 'faulty' || (!wanted && !now)) {
    return { action: 'keep', result: { status: 'moved', opId: op.opId, current } };
  }
  if (!wanted) return { action: 'remove', result: applied(op, id, null) };
  try {
    const text = renderFrontmatter(wanted, now?.text ?? null);
    if (/[\0\p{Cs}]/u.test(text)) return refused(op, 'the text is not valid Unicode text');
    if (Buffer.byteLength(text) > MAX_FILE_BYTES)
      return refused(op, 'the text is too large for a file');
    const result = applied(op, id, documentOf(id, text));
    return text === now?.text ? { action: 'keep', result } : { action: 'replace', text, result };
  } catch (thrown) {
    return refused(op, toAppError(thrown).message);
  }
}

function documentOf(id: string, source: string): DocumentItem {
  const { frontmatter, text } = parseFrontmatter(source);
  return { path: id, frontmatter, text };
}

function applied(op: RemoteOp, id: string, written: DocumentItem | null): ApplyOutcome {
  const version = written && hashJson(written);
  return { status: 'applied', opId: op.opId, remoteId: asRemoteId(id), version, written };
}

function refused(op: RemoteOp, detail: string): FileDecision<ApplyOutcome> {
  return { action: 'keep', result: failed(op, 'ITEM_INVALID', detail) };
}
