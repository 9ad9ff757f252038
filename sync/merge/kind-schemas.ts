/** How each kind of item merges: the types of its arrays and texts. */
import { UNKNOWN_MEMORY_TYPE, type ItemKind } from '../../domain/item.ts';
import type { DocumentSchema } from './field-types.ts';

// The canonical items of 05-connectors, "The port".
const KIND_SCHEMAS: ReadonlyMap<ItemKind, DocumentSchema> = new Map<ItemKind, DocumentSchema>(
  Object.entries({
    memory: {
      types: {
        '/observations': { type: 'set' },
        '/relations': { type: 'map-by-key', fields: ['to', 'type'] },
      },
      // A Markdown section has no type of its own: what the other side says is not contested by it.
      weakDefaults: { '/type': UNKNOWN_MEMORY_TYPE },
    },
    document: { types: { '/text': { type: 'text' } } },
  }),
);

const PLAIN: DocumentSchema = { types: {} };

/** The schema of a kind; plain JSON has none: objects merge by member, all else is one value. */
export function schemaOfKind(kind: ItemKind): DocumentSchema {
  return KIND_SCHEMAS.get(kind) ?? PLAIN;
}
