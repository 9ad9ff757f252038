/** `context-updated` as bytes, made once for all who get the same. */
import { jsonText } from '../json/json-text.ts';
import type { UpdatePayload } from './messages.ts';

export interface UpdateMessage {
  /** The message for a connection on which these subscriptions matched. */
  bytesFor(subscriptions: readonly string[]): Buffer;
}

/** A message about one change. */
export function createUpdateMessage(payload: UpdatePayload): UpdateMessage {
  const text = jsonText(payload);
  const made = new Map<string, Buffer>();
  return {
    bytesFor(subscriptions) {
      const ids = JSON.stringify(subscriptions);
      const known = made.get(ids);
      if (known) return known;
      const bytes = Buffer.from(
        `{"type":"context-updated","subscriptions":${ids},"payload":${text}}`,
      );
      made.set(ids, bytes);
      return bytes;
    },
  };
}
