/** How each kind of item merges: the types of its arrays and texts. */
import { UNKNOWN_MEMORY_TYPE, type ItemKind } from '../../domain/item.ts';
import type { DocumentSchema } from './field-types.ts';

/** The canonical items of 05-connectors, "The port". */
export const KIND_SCHEMAS: Readonly<Record<ItemKind, DocumentSchema>> = {
  memory: {
    types: {
      '/observations': { type: 'set' },
      '/relations': { type: 'map-by-key', fields: ['to', 'type'] },
    },
    // A Markdown section has no type of its own: what the other side says is not contested by it.
    weakDefaults: { '/type': UNKNOWN_MEMORY_TYPE },
  },
  document: { types: { '/text': { type: 'text' } } },
};
