/**
 * What a foreign writer still wrote to a file we had already replaced, brought into the new file.
 * Only additions are taken: the writer did not know our text, so what it lacks was not deleted.
 */
import type { Memory } from '../../domain/item.ts';
import { asRemoteId, canonicalMemory } from '../../domain/item.ts';
import type { RemoteOp } from '../connector.ts';
import { editSteps } from './edit-memories.ts';
import { dominantEol, isBlank } from './markdown/lines.ts';
import { memorySteps, type MemoryFile, type MemoryMapping } from './memories.ts';
import type { Steps } from './steps.ts';

/** The text before we replaced it, as the late writer left it, and as it is now (null: removed). */
export interface LateTexts {
  readonly before: string;
  readonly after: string;
  readonly now: string | null;
}

/** The memory file with the late writer's additions; null when there are none. @throws AppError */
export function* mergeLateMemories(texts: LateTexts, mapping: MemoryMapping): Steps<string | null> {
  const now = texts.now ?? '';
  const tail = appendedLines(texts);
  if (tail !== null && isBlank(tail)) return null;
  if (tail !== null) return withTail(now, tail);
  const current = yield* memorySteps(now, mapping);
  const base = yield* memorySteps(texts.before, mapping);
  const theirs = yield* memorySteps(texts.after, mapping);
  const ops = [...theirs.entries.values()].flatMap(({ memory }) =>
    additionOf(memory, base, current),
  );
  return ops.length === 0 ? null : (yield* editSteps(current, ops, mapping)).file.source;
}

/**
 * The document with the late writer's edit: its tail where it appended, else its whole text if
 * nobody has touched ours since. Null when nothing is to be done.
 */
export function mergeLateDocument(texts: LateTexts, written: string | null): string | null {
  const { after, now } = texts;
  if (isBlank(after)) return null;
  if (now === null) return after;
  const tail = appendedLines(texts);
  if (tail !== null) return isBlank(tail) ? null : withTail(now, tail);
  return now === written ? after : null;
}

/** What was appended as lines of its own; null when the writer did anything else. */
function appendedLines({ before, after }: LateTexts): string | null {
  if (!after.startsWith(before)) return null;
  const tail = after.slice(before.length);
  return before === '' || /[\r\n]$/.test(before) || /^[\r\n]/.test(tail) ? tail : null;
}

function withTail(now: string, tail: string): string {
  const gap = now === '' || /[\r\n]$/.test(now) || /^[\r\n]/.test(tail) ? '' : dominantEol(now);
  return now + gap + tail;
}

function additionOf(theirs: Memory, base: MemoryFile, current: MemoryFile): readonly RemoteOp[] {
  const old = base.entries.get(theirs.name)?.memory;
  const entry = current.entries.get(theirs.name);
  const observations = theirs.observations.filter((text) => !old?.observations.includes(text));
  const relations = theirs.relations.filter(
    ({ to, type }) => !old?.relations.some((known) => known.to === to && known.type === type),
  );
  if (old && observations.length + relations.length === 0) return [];
  const ours = entry?.memory ?? { ...theirs, observations: [], relations: [] };
  const value = canonicalMemory({
    ...ours,
    observations: [...ours.observations, ...observations],
    relations: [...ours.relations, ...relations],
  });
  return [
    {
      opId: `late ${theirs.name}`,
      action: entry ? 'update' : 'create',
      kind: 'memory',
      remoteId: asRemoteId(theirs.name),
      value,
      expectedVersion: entry?.version ?? null,
    },
  ];
}
