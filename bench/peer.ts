/**
 * What a two-way sync is asked to do in `sync-peers`, whoever does it. Each contender runs its round
 * in a process of its own (peer-round.ts), so that nobody pays for another's garbage.
 */
import type { Memory } from '../domain/item.ts';

/** The peers twice: with the batch size that suits them here, and as they come. */
export const CONTENDERS = [
  'syncline',
  'pouchdb',
  'rxdb',
  'pouchdb-defaults',
  'rxdb-defaults',
] as const;
export type Contender = (typeof CONTENDERS)[number];

/** Documents a peer replicates at a time; null: its own default. */
export type ReplicationBatch = number | null;

/** What suits both peers on these items: their own default of 100 is slower. */
export const TUNED_BATCH = 500;

/** Two stores, `near` and `far`, and the sync between them. */
export interface Pair {
  /** Writes items on one side, without syncing; not timed. */
  write(side: 'near' | 'far', items: readonly Memory[]): Promise<void>;
  /** Syncs both ways until both sides are equal; timed. */
  sync(): Promise<void>;
  /** Does what a sync puts off for later; timed apart. */
  catchUp?(): Promise<void>;
  /** The item of this name on one side; not timed. */
  read(side: 'near' | 'far', name: string): Promise<Memory | null>;
  count(side: 'near' | 'far'): Promise<number>;
  close(): Promise<void>;
}

/** Times of one round, ms. */
export interface RoundTimes {
  /** A full far side into an empty near one. */
  readonly inMs: number;
  /** A full near side into an empty far one. */
  readonly outMs: number;
  /** What the first sync of a full far side had put off: until all of it is found by a search. */
  readonly catchUpMs: number;
  /** The first pass with nothing to do, right after the first sync. */
  readonly firstQuietMs: number;
  /** One item in a hundred changed on each side, several times one after the other. */
  readonly changedMs: readonly number[];
  /** Passes with nothing to do, later. */
  readonly quietMs: readonly number[];
  readonly peakRssMb: number;
}
