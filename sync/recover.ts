/**
 * What became of an op whose answer nobody recorded. A remote that remembers op ids is asked again:
 * it answers what it answered then. Any other is read: what we meant to write is taken as written,
 * anything else as not written, and the ordinary plan goes on from the old base.
 */
import type { RemoteId } from '../domain/ids.ts';
import type { OpAnswer, OpFacts, OpFault, RemoteState } from '../domain/op.ts';

/** How to learn what became of an open intent. `ask` sends the op again under its own id. */
export function recoveryOf(grade: 'A' | 'B' | 'C'): 'ask' | 'read' {
  return grade === 'A' ? 'ask' : 'read';
}

/** What a read of the remote showed where the op's item should be. */
export type Found =
  | (RemoteState & { readonly status: 'read'; readonly remoteId: RemoteId })
  | { readonly status: 'faulty'; readonly fault: OpFault };

/** The answer an op would have got, as far as a read can tell. */
export function answerFromRead(op: OpFacts, found: Found): OpAnswer {
  if (found.status === 'faulty') return { status: 'failed', fault: found.fault };
  const { remoteId, version, hash } = found;
  if (hash === op.remoteAfter) return { status: 'applied', remote: { remoteId, version, hash } };
  // Under a name the op was to give, nothing is known about the item itself.
  const seen = remoteId === op.remoteId ? { version, hash } : null;
  return { status: 'stale', seen, detail: 'the write was interrupted' };
}
