/** What a connector over files says of its memory items: how they are read and written as files. */
import type { JsonObject } from '../../domain/json.ts';
import type { ApplyOutcome, RemoteEntry, RemoteFault, RemoteOp } from '../connector.ts';
import type { LateTexts } from './merge-late.ts';
import type { Place } from './places.ts';
import type { SafeWrite } from './safe-write.ts';

/** All memory items at a moment. */
export interface MemoryReading {
  readonly entries: readonly RemoteEntry[];
  /** Each file's mark for the cursor: it changes with the file's bytes. */
  readonly marks: readonly (readonly [path: string, mark: string])[];
  /** What the next observation must know to tell which items an unreadable file holds. */
  readonly trail: JsonObject;
  /** A file nobody can tell the items of: what is not listed may still be there. */
  readonly unknown: RemoteFault | null;
}

export interface MemoryFiles {
  /**
   * `before` is the trail of the last observation, null before the first, absent when no
   * observation is made.
   *
   * @throws AppError for a fault that leaves nothing to be said
   */
  read(before?: JsonObject | null): Promise<MemoryReading>;
  /** Answers in the order given. @throws AppError for a file that cannot be read or written */
  apply(ops: readonly RemoteOp[], write: SafeWrite): Promise<readonly ApplyOutcome[]>;
  /** Whether a path of a place holds memories. */
  owns(place: Place, path: string): boolean;
  /** The file's text with what a late writer added; null when nothing is to be done. */
  mergeLate(place: Place, path: string, texts: LateTexts): Promise<string | null>;
}
