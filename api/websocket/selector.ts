/** What a subscription is about. */
import type { WatchedChange } from '../../store/contract.ts';

export interface Selector {
  readonly kind: 'key' | 'prefix' | 'sessionId' | 'tag';
  readonly value: string;
}

/** Whether a change is one of those a selector means. Session and tags are those of that version. */
export function isSelected(
  { kind, value }: Selector,
  { change, sessionId, tags }: WatchedChange,
): boolean {
  if (kind === 'key') return change.key === value;
  if (kind === 'prefix') return change.key.startsWith(value);
  return kind === 'sessionId' ? sessionId === value : tags.includes(value);
}
