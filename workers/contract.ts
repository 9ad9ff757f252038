/** The workers' door: queue names and job schemas. Payloads hold ids only. */
import { z } from 'zod';

export const MAINTENANCE_QUEUE = 'syncline-maintenance';

export const JOBS = {
  /** Deletes contexts whose time is over; an idempotent sweep, so it carries nothing. */
  'expire-contexts': { schema: z.strictObject({}), everyMs: 15_000 },
  /** Forgets answers of requests with an `Idempotency-Key` once their day is over. */
  'forget-answers': { schema: z.strictObject({}), everyMs: 600_000 },
  /** Starts the workflows of conflicts that have a due time and no workflow (any more). */
  'watch-conflicts': { schema: z.strictObject({}), everyMs: 30_000 },
  /** Seals bodies of retired encryption keys anew, and wraps keys by the current master key. */
  're-encrypt': { schema: z.strictObject({}), everyMs: 10_000 },
  /** Adds contexts to the search index that it does not know, after an upgrade or a restore. */
  'mend-search': { schema: z.strictObject({}), everyMs: 600_000 },
  /** Indexes for search what large syncs wrote and nobody has told of: a process died, say. */
  'index-search': { schema: z.strictObject({}), everyMs: 15_000 },
  /** Asks for the audits of links whose time has come. */
  'request-audits': { schema: z.strictObject({}), everyMs: 60_000 },
  /** Vacuums what has changed much, where the server does not by itself: the embedded Postgres. */
  'tend-tables': { schema: z.strictObject({}), everyMs: 600_000 },
  /** Deletes tombstones, old changes, versions, runs and bodies that nobody needs any more. */
  'collect-garbage': { schema: z.strictObject({}), everyMs: 3_600_000 },
} as const satisfies Record<string, { schema: z.ZodType; everyMs: number }>;

export type JobName = keyof typeof JOBS;
/** Redis channel on which committed outbox rows are announced. */
export const OUTBOX_CHANNEL = 'syncline:outbox';
/** Redis channel on which passes tell that they decided about items. */
export const SETTLED_CHANNEL = 'syncline:settled';
/** Redis channel on which processes tell which contexts they changed, for each other's caches. */
export const CONTEXTS_CHANNEL = 'syncline:contexts';

export const JOB_NAMES = Object.keys(JOBS) as JobName[];
