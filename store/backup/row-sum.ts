/**
 * Sums over the rows of a table. `sha256` is over the lines in the order of the file; `sum` does not
 * depend on the order (SHA-256 of each line, added modulo 2^256), so that what a database holds can be
 * compared with what a file says.
 */
import { createHash, type Hash } from 'node:crypto';

export interface TableSums {
  readonly rows: number;
  /** Hex. */
  readonly sha256: string;
  /** Hex. */
  readonly sum: string;
}

export interface RowSummer {
  /** Takes one line, without its line feed. */
  add(line: string): void;
  end(): TableSums;
}

const MODULUS = 1n << 256n;

/** Adds up one table. */
export function createRowSummer(): RowSummer {
  const inOrder: Hash = createHash('sha256');
  let rows = 0;
  let sum = 0n;
  return {
    add(line) {
      rows += 1;
      inOrder.update(line).update('\n');
      sum = (sum + BigInt(`0x${createHash('sha256').update(line).digest('hex')}`)) % MODULUS;
    },
    end: () => ({
      rows,
      sha256: inOrder.digest('hex'),
      sum: sum.toString(16).padStart(64, '0'),
    }),
  };
}
