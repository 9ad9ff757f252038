/** The client's `doctor`. */
import type { DoctorReport } from '../api/contract.ts';
import type { Transport } from './transport.ts';

export interface DoctorCalls {
  /** Looks for whatever is stuck; changes nothing. */
  examine(): Promise<DoctorReport>;
  /** Repairs what is safe, and looks again: `repairs` is what was done, `findings` what is left. */
  repair(): Promise<DoctorReport>;
}

/** Servers that do not answer make an examination wait for them. */
const EXTRA_MS = 30_000;

/** Calls about the installation's health. */
export function doctorCalls({ call }: Transport): DoctorCalls {
  const path = '/api/sync/doctor';
  const waiting = { isRepeatable: true, extraMs: EXTRA_MS } as const;
  return {
    examine: () => call('GET', path, waiting),
    // Once more, it finds less to repair. It looks twice: before and after.
    repair: () => call('POST', path, { ...waiting, extraMs: 2 * EXTRA_MS, body: { fix: true } }),
  };
}
