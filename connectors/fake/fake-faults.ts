/** What can go wrong with a remote, on demand: a script of faults, used up call by call. */
import { AppError, type ErrorCode } from '../../domain/errors.ts';

export type FakeMethod = 'probe' | 'observe' | 'read' | 'apply';

/** How a call misbehaves. */
export type FakeMischief =
  /** The answer waits for a promise. */
  | { readonly kind: 'late'; readonly until: Promise<unknown> }
  /** Fails before anything happens. */
  | { readonly kind: 'unreachable' }
  /** 429: fails before anything happens, with a time to wait. */
  | { readonly kind: 'rate-limited'; readonly retryAfterMs: number }
  /** Fails after the commit, or after the first `afterOps` ops of the batch: nobody knows. */
  | { readonly kind: 'lost-answer'; readonly afterOps?: number }
  /** apply: refuses the op at this index, does the others. */
  | {
      readonly kind: 'refuse-op';
      readonly index: number;
      readonly code?: ErrorCode;
      readonly isRetryable?: boolean;
    }
  /** observe: the listing breaks off; the page is the last one and carries no certificate. */
  | { readonly kind: 'truncated' }
  /** observe: every entry of the page is given twice. */
  | { readonly kind: 'doubled' }
  /** observe: the listing that starts with this call comes in reverse order. */
  | { readonly kind: 'reordered' };

/** A mischief and the calls it hits. */
export type FakeFault = FakeMischief & {
  readonly on: FakeMethod;
  /** Calls it hits; 1 unless told, `Infinity` for all. */
  readonly times?: number;
  /** Calls of that method it lets pass first; 0 unless told. */
  readonly skip?: number;
};

export interface FaultScript {
  add(fault: FakeFault): void;
  /** Forgets all faults not yet used up. */
  clear(): void;
  /** The mischiefs that hit this call; uses them up. */
  next(method: FakeMethod): readonly FakeMischief[];
}

/** An empty script. */
export function createFaultScript(): FaultScript {
  let entries: { fault: FakeFault; skip: number; times: number }[] = [];
  return {
    add: (fault) => void entries.push({ fault, skip: fault.skip ?? 0, times: fault.times ?? 1 }),
    clear: () => void (entries = []),
    next(method) {
      if (entries.length === 0) return [];
      const due = entries.filter((entry) => entry.fault.on === method && entry.skip-- <= 0);
      for (const entry of due) entry.times -= 1;
      entries = entries.filter((entry) => entry.times > 0);
      return due.map((entry) => entry.fault);
    },
  };
}

/** The mischief of a kind among those that hit a call. */
export function mischiefOf<Kind extends FakeMischief['kind']>(
  mischiefs: readonly FakeMischief[],
  kind: Kind,
): Extract<FakeMischief, { kind: Kind }> | undefined {
  return mischiefs.find((m): m is Extract<FakeMischief, { kind: Kind }> => m.kind === kind);
}

/** Throws or waits where a fault says so before the call does anything. */
export async function sufferBefore(mischiefs: readonly FakeMischief[]): Promise<void> {
  for (const mischief of mischiefs) {
    if (mischief.kind === 'late') await mischief.until;
    if (mischief.kind === 'unreachable') throw lost('The fake remote cannot be reached.');
    if (mischief.kind !== 'rate-limited') continue;
    const extra = { retryAfterMs: mischief.retryAfterMs };
    throw new AppError('RATE_LIMITED', 'The fake remote is busy.', { retryable: true, extra });
  }
}

/** The error of an answer that never came. */
export function lost(message: string): AppError {
  return new AppError('CONNECTOR_UNREACHABLE', message, { retryable: true });
}
