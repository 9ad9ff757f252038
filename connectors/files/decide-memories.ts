/** What a batch of operations makes of one memory file, kept within the size a file may have. */
import type { ApplyOutcome, RemoteOp } from '../connector.ts';
import { editSteps, failed } from './edit-memories.ts';
import type { MemoryFile, MemoryMapping } from './memories.ts';
import { MAX_FILE_BYTES } from './read-file.ts';
import type { FileDecision } from './safe-write.ts';
import type { Steps } from './steps.ts';

/** The decision, and the file as it will read. */
export type MemoryDecision = FileDecision<readonly ApplyOutcome[]> & { readonly file: MemoryFile };

/** @throws AppError REGION_DAMAGED, REMOTE_MALFORMED when the file cannot be understood */
export function* decideMemories(
  file: MemoryFile,
  ops: readonly RemoteOp[],
  mapping: MemoryMapping,
): Steps<MemoryDecision> {
  const edit = yield* editSteps(file, ops, mapping);
  if (Buffer.byteLength(edit.file.source) <= MAX_FILE_BYTES) {
    return decisionFor(file, edit.file, edit.outcomes);
  }
  // A file we could not read again helps nobody: only what makes it smaller is done.
  const deletes = ops.filter(({ action }) => action === 'delete');
  const small = yield* editSteps(file, deletes, mapping);
  const outcomes = edit.outcomes.map((outcome, at): ApplyOutcome => {
    const op = ops[at]!;
    if (op.action === 'delete') return small.outcomes[deletes.indexOf(op)]!;
    if (outcome.status !== 'applied') return outcome;
    return failed(op, 'REMOTE_TOO_LARGE', 'the file would become too large');
  });
  return decisionFor(file, small.file, outcomes);
}

function decisionFor(
  before: MemoryFile,
  after: MemoryFile,
  result: readonly ApplyOutcome[],
): MemoryDecision {
  if (after.source === before.source) return { action: 'keep', result, file: before };
  return { action: 'replace', text: after.source, result, file: after };
}
