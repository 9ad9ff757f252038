/**
 * A Factory project and a memory file in one folder, and both as their users see them: sections of
 * `memories.md`, entities in the graph. Read from the files themselves, never through the product.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createBlockParser } from '../../connectors/files/markdown/parse-blocks.ts';
import { readMemories } from '../../connectors/files/memories.ts';
import { toMemoryGraph } from '../../connectors/mcp-memory/memory-graph.ts';
import { memorySchema, type Memory } from '../../domain/item.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { ContextClient, Link } from '../../client/index.ts';
import {
  memoryServerPath,
  startForeignMemory,
  type ForeignMemory,
} from '../conformance/memory-workspace.ts';

export type Side = ReadonlyMap<string, Memory>;

export interface TwoSides {
  readonly prefix: string;
  readonly root: string;
  /** Path of `.factory/memories.md`. */
  readonly memories: string;
  /** Path of the memory server's file. */
  readonly memoryFile: string;
  readonly factoryConfig: JsonObject;
  readonly memoryConfig: JsonObject;
  /** Sections now; an absent file has none. */
  sections(): Side;
  /** Entities now, with the relations that start at each. @throws when one name stands twice */
  entities(): Side;
  /** Appends a bullet to the end of `memories.md`. */
  addBullet(text: string): void;
  /** Another memory server process on the same file, as another agent runs it. */
  startForeign(): Promise<ForeignMemory>;
}

let count = 0;

/** Makes the files in a folder of their own below `folder`. */
export async function createTwoSides(
  folder: string,
  content: { readonly markdown?: string; readonly graph?: readonly Memory[] } = {},
): Promise<TwoSides> {
  count += 1;
  const prefix = `p${count}/`;
  const root = join(folder, `project-${count}`);
  const memories = join(root, '.factory', 'memories.md');
  const memoryFile = join(root, 'memory.jsonl');
  const command = process.execPath;
  const args = [await memoryServerPath()];
  mkdirSync(join(root, '.factory'), { recursive: true });
  if (content.markdown !== undefined) writeFileSync(memories, content.markdown);
  if (content.graph) writeFileSync(memoryFile, graphText(content.graph));
  return {
    prefix,
    root,
    memories,
    memoryFile,
    factoryConfig: { root },
    memoryConfig: { command, args, memoryFile },
    sections: () => sectionsIn(existsSync(memories) ? readFileSync(memories, 'utf8') : ''),
    entities: () => entitiesIn(existsSync(memoryFile) ? readFileSync(memoryFile, 'utf8') : ''),
    addBullet: (text) => appendFileSync(memories, `- ${text}\n`),
    startForeign: () =>
      // It needs the file and how to start a server, nothing else of a workspace.
      startForeignMemory({ file: memoryFile, config: { command, args } } as Parameters<
        typeof startForeignMemory
      >[0]),
  };
}

export interface TwoLinks {
  readonly factory: Link;
  readonly memory: Link;
}

/** Links both under their prefix. */
export async function linkBoth(client: ContextClient, sides: TwoSides): Promise<TwoLinks> {
  const scope = { prefix: sides.prefix };
  const name = sides.prefix.slice(0, -1);
  const factory = await client.links.create({
    name: `${name}-files`,
    connector: 'factory-files',
    config: sides.factoryConfig,
    scope,
  });
  const memory = await client.links.create({
    name: `${name}-graph`,
    connector: 'mcp-memory',
    config: sides.memoryConfig,
    scope,
  });
  return { factory, memory };
}

/** Sections of a `memories.md` as items by name. */
export function sectionsIn(markdown: string): Side {
  const mapping = {
    blocks: 'all',
    namePrefix: '',
    isTaken: () => false,
    parse: createBlockParser(),
  } as const;
  const { entries } = readMemories(markdown, mapping);
  return new Map([...entries].map(([name, { memory }]) => [name, memory]));
}

/** Entities of a memory file as items by name. @throws Error for anything that is not a sound graph */
export function entitiesIn(text: string): Side {
  const lines = text.split('\n').filter((line) => line !== '');
  const rows = lines.map((line) => JSON.parse(line) as JsonObject);
  const raw = {
    entities: rows.filter((row) => row['type'] === 'entity'),
    relations: rows.filter((row) => row['type'] === 'relation'),
  };
  const doubled = raw.entities.filter(({ observations }) => {
    const texts = observations as string[];
    return new Set(texts).size !== texts.length;
  });
  if (doubled.length > 0)
    throw new Error(`an observation stands twice: ${JSON.stringify(doubled)}`);
  return new Map(
    [...toMemoryGraph(raw).entries].map(([name, entry]) => {
      if (entry.status !== 'present') throw new Error(`${name}: ${entry.detail}`);
      return [name, memorySchema.parse(entry.value)];
    }),
  );
}

/** A memory file's text, as the memory server writes it. */
export function graphText(memories: readonly Memory[]): string {
  const entities = memories.map(({ name, type, observations }) =>
    JSON.stringify({ type: 'entity', name, entityType: type, observations }),
  );
  const relations = memories.flatMap(({ name, relations: rows }) =>
    rows.map(({ to, type }) =>
      JSON.stringify({ type: 'relation', from: name, to, relationType: type }),
    ),
  );
  return [...entities, ...relations].join('\n');
}

/** An item as both sides have it. */
export function memory(
  name: string,
  observations: readonly string[],
  more: Partial<Memory> = {},
): Memory {
  return { name, type: 'section', observations: [...observations].sort(), relations: [], ...more };
}
