/**
 * Where errors leave for Temporal: a failure of the error's own code, which says whether the same call
 * is worth another try. What a run records of an error is the same, read here in one way.
 */
import { ApplicationFailure } from '@temporalio/activity';
import { retryAfterMsOf, toAppError, type ErrorCode } from '../domain/errors.ts';
import type { PassFault } from './contract.ts';

/** Only a server of ours that is out is worth the same call again; the rest is for others to judge. */
export const isOut = (code: string): boolean => code === 'UNAVAILABLE';

/** What a thrown thing says, as a run records it. */
export function faultOf(thrown: unknown): PassFault & { readonly code: ErrorCode } {
  const error = toAppError(thrown);
  const retryAfterMs = retryAfterMsOf(error);
  const { code, message: detail } = error;
  return { code, detail, ...(retryAfterMs === null ? {} : { retryAfterMs }) };
}

/** Does a step; what it throws is thrown as Temporal's failure, tried again where `isRetried` says so. */
export async function asFailure<T>(
  step: () => Promise<T>,
  isRetried: (code: string) => boolean = isOut,
): Promise<T> {
  try {
    return await step();
  } catch (thrown) {
    const { code, detail, retryAfterMs = null } = faultOf(thrown);
    throw ApplicationFailure.create({
      type: code,
      message: detail,
      nonRetryable: !isRetried(code),
      details: [{ retryAfterMs }],
    });
  }
}
