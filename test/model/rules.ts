/** How one configuration of the model differs from the engine as it is. */
import type { Strategy } from '../../domain/link.ts';
import type { Profile } from './bodies.ts';

/** A step of the engine that a variant leaves out, to show what it is good for. */
export type Removed =
  | 'intent'
  | 'recovery-by-op-id'
  | 'op-id-memory'
  | 'refusal-memory'
  | 'base-after-write'
  | 'dirty-with-cursor'
  | 'compare-and-set'
  | 'hub-version-check'
  | 'claim-check'
  | 'fence'
  | 'second-scan'
  | 'scan-certificate'
  | 'returned-body'
  | 'loser-in-history';

export interface Rules {
  readonly grade: 'A' | 'B' | 'C';
  readonly profile: Profile;
  readonly strategy: Strategy;
  /** Whether both sides hold the item, agreed on, at the start; else neither has it. */
  readonly startsSynced: boolean;
  /** Remote of each link. Two links to remote 0 are a ring. */
  readonly links: readonly number[];
  /** Edits of the users of the hub and of each remote. */
  readonly edits: readonly number[];
  /** Crashes and lost answers, together. */
  readonly crashes: number;
  /** Complete-looking listings that miss an item which is there (a file being rewritten). */
  readonly blinks: number;
  /** Listings cut short; the remote says so. */
  readonly cuts: boolean;
  /** Whether a process taken for dead may go on. */
  readonly zombies: boolean;
  /** What the remote makes of the texts it is sent. */
  readonly normalise?: (text: string) => string;
  /**
   * The link's row of a deleted item may be forgotten: once both sides are known to be without it,
   * or (a link beyond the horizon, which starts a new epoch) at any moment.
   */
  readonly collects: 'settled' | 'any-time' | null;
  /** Whether only steps that others can see are interleaved; for two links at once. */
  readonly isCoarse: boolean;
  /** Whether what the grade does not promise is let pass; false exhibits it. */
  readonly excuses: boolean;
  readonly removed: Removed | null;
}

export const ORDINARY: Rules = {
  grade: 'A',
  profile: 'contested',
  strategy: 'three-way',
  startsSynced: true,
  links: [0],
  edits: [2, 2],
  crashes: 1,
  blinks: 0,
  cuts: false,
  zombies: false,
  collects: null,
  isCoarse: false,
  excuses: true,
  removed: null,
};
