/** An open conversation with Claude Code's files of one project. */
import type { Connector } from '../connector.ts';
import { failed } from '../files/edit-memories.ts';
import { createFileConnector, type FileConnectorDeps } from '../files/file-connector.ts';
import type { MemoryFiles } from '../files/memory-files.ts';
import type { Place } from '../files/places.ts';
import { includesOf, type ClaudeCodeConfig } from './claude-code-config.ts';
import { createClaudeLayout, isMemoryPlace } from './claude-layout.ts';
import { createClaudeMemories } from './claude-memories.ts';

export interface ClaudeConnectorDeps extends Omit<
  FileConnectorDeps,
  'layout' | 'memories' | 'mapping'
> {
  readonly config: ClaudeCodeConfig;
  /** The project first, then the memory folder if it is included. */
  readonly places: readonly Place[];
}

/** Opens nothing yet; every call looks at the folders anew. */
export function createClaudeConnector({ config, places, ...deps }: ClaudeConnectorDeps): Connector {
  const include = includesOf(config);
  const place = places.find(isMemoryPlace);
  return createFileConnector({
    ...deps,
    layout: createClaudeLayout(places, include),
    memories: (isDocument) =>
      place ? createClaudeMemories({ place, isDocument, clock: deps.clock }) : createNoMemories(),
    mapping: [...include],
  });
}

function createNoMemories(): MemoryFiles {
  return {
    read: async () => ({ entries: [], marks: [], trail: {}, unknown: null }),
    apply: async (ops) =>
      ops.map((op) => failed(op, 'ITEM_INVALID', 'this link includes no memories')),
    owns: () => false,
    mergeLate: async () => null,
  };
}
