/** The memory files of a link's places: read together, because their items share one set of names. */
import { AppError, toAppError } from '../../domain/errors.ts';
import type { ApplyOutcome, RemoteOp } from '../connector.ts';
import { decideMemories, type MemoryDecision } from '../files/decide-memories.ts';
import { failed, remoteEntriesOf } from '../files/edit-memories.ts';
import { createEntryCache, type EntryCache } from '../files/entry-cache.ts';
import { createBlockParser, type BlockParser } from '../files/markdown/parse-blocks.ts';
import { memorySteps, type MemoryFile, type MemoryMapping } from '../files/memories.ts';
import type { MemoryFiles, MemoryReading } from '../files/memory-files.ts';
import { mergeLateMemories } from '../files/merge-late.ts';
import type { Place } from '../files/places.ts';
import { requireText, type TextFile } from '../files/read-file.ts';
import { unlessRaced, type SafeWrite } from '../files/safe-write.ts';
import { inSlices } from '../files/steps.ts';
import type { FactoryFilesConfig } from './factory-files-config.ts';
import { MEMORY_PATH } from './places.ts';

/** One place's memory file at a moment. */
interface MemorySnapshot {
  readonly place: Place;
  readonly mapping: MemoryMapping;
  readonly file: MemoryFile;
  /** Null when the file does not exist. */
  readonly state: TextFile | null;
}

export interface FactoryMemoriesDeps {
  readonly config: FactoryFilesConfig;
  readonly places: readonly Place[];
  /** A memory may not be called as one of the link's documents: an id must mean one thing. */
  readonly isDocument: (id: string) => boolean;
}

/** Text a memory file is created with; what follows is the managed region. */
const NEW_FILE = '# Memories\n';

export function createFactoryMemories({
  config,
  places,
  isDocument,
}: FactoryMemoriesDeps): MemoryFiles {
  const isIncluded = config.include.includes('memories');
  const readers = new Map(places.map(({ idPrefix }) => [idPrefix, createReader()]));

  const readerOf = ({ idPrefix }: Place): Reader => readers.get(idPrefix) ?? createReader();

  function mappingOf(place: Place, earlier: readonly MemorySnapshot[] = []): MemoryMapping {
    return {
      blocks: config.blocks,
      namePrefix: place.namePrefix,
      isTaken: (name) => isDocument(name) || earlier.some(({ file }) => file.entries.has(name)),
      parse: readerOf(place).parse,
      cache: readerOf(place).cache,
    };
  }

  /** The files now, the project's first: its names come first. */
  async function look(): Promise<readonly MemorySnapshot[]> {
    const snapshots: MemorySnapshot[] = [];
    for (const place of isIncluded ? places : []) {
      const earlier = [...snapshots];
      const mapping = mappingOf(place, earlier);
      const state = await requireText(place, MEMORY_PATH);
      const file = await parsed(place, state?.text ?? '', mapping);
      snapshots.push({ place, mapping, file, state });
    }
    return snapshots;
  }

  async function apply(
    ops: readonly RemoteOp[],
    write: SafeWrite,
  ): Promise<readonly ApplyOutcome[]> {
    if (!isIncluded) {
      return ops.map((op) => failed(op, 'ITEM_INVALID', 'this link includes no memories'));
    }
    const snapshots = await look();
    const outcomes: ApplyOutcome[] = [];
    for (const { place, mapping, file } of snapshots) {
      const mine = ops.filter((op) => homeOf(op, snapshots) === place);
      if (mine.length === 0) continue;
      const decide = async (now: TextFile | null): Promise<MemoryDecision> => {
        // Most often it is the file that was just looked at.
        const isSeen = now !== null && now.text === file.source;
        const current = isSeen ? file : await parsed(place, now?.text ?? NEW_FILE, mapping);
        return await inSlices(decideMemories(current, mine, mapping));
      };
      outcomes.push(...(await unlessRaced(mine, () => write(place, MEMORY_PATH, decide))));
    }
    return outcomes;
  }

  async function read(): Promise<MemoryReading> {
    const snapshots = await look();
    return {
      entries: snapshots.flatMap(({ file, state }) =>
        remoteEntriesOf(file, state?.changedAtMs ?? 0),
      ),
      marks: snapshots.map(
        ({ place, state }) => [place.idPrefix + MEMORY_PATH, state?.hash ?? 'missing'] as const,
      ),
      trail: {},
      unknown: null,
    };
  }

  return {
    read,
    apply,
    owns: (_place, path) => path === MEMORY_PATH,
    mergeLate: (place, _path, texts) => inSlices(mergeLateMemories(texts, mappingOf(place))),
  };
}

/** The place an operation's item is in, or belongs to by its name. */
function homeOf(op: RemoteOp, snapshots: readonly MemorySnapshot[]): Place | undefined {
  const holder = snapshots.find(({ file }) => file.entries.has(op.remoteId));
  const named = snapshots.findLast(({ place }) => op.remoteId.startsWith(place.namePrefix));
  return (holder ?? named)?.place;
}

/** What is remembered of a place's file from one reading to the next. */
interface Reader {
  readonly parse: BlockParser;
  readonly cache: EntryCache;
}

const createReader = (): Reader => ({ parse: createBlockParser(), cache: createEntryCache() });

/** A text as items; what is wrong with it names the file. */
async function parsed(place: Place, text: string, mapping: MemoryMapping): Promise<MemoryFile> {
  try {
    return await inSlices(memorySteps(text, mapping));
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    throw new AppError(code, `${place.idPrefix}${MEMORY_PATH}: ${message}`, { cause: thrown });
  }
}
