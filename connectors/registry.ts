/** The kinds of remote this server can speak to. */
import { AppError } from '../domain/errors.ts';
import type { AnyConnectorType } from './connector.ts';

export interface ConnectorRegistry {
  /** @throws AppError VALIDATION for a kind nobody registered; the message lists the known ones */
  get(kind: string): AnyConnectorType;
  /** All types, sorted by kind. */
  list(): readonly AnyConnectorType[];
}

/** @throws AppError CONFIG_INVALID when two types have one kind */
export function createConnectorRegistry(types: readonly AnyConnectorType[]): ConnectorRegistry {
  const byKind = new Map(types.map((type) => [type.kind, type]));
  if (byKind.size !== types.length) {
    throw new AppError('CONFIG_INVALID', 'Two connectors have the same kind.');
  }
  const kinds = [...byKind.keys()].sort();
  return {
    get(kind) {
      const type = byKind.get(kind);
      if (type) return type;
      const detail = `is none of ${kinds.join(', ')}`;
      throw new AppError('VALIDATION', `Connector "${kind}" ${detail}.`, {
        errors: [{ pointer: '/connector', detail }],
      });
    },
    list: () => kinds.map((kind) => byKind.get(kind)!),
  };
}
