/** The workers' door: queue names and job schemas. Payloads hold ids only. */
import { z } from 'zod';

export const MAINTENANCE_QUEUE = 'syncline-maintenance';

export const JOBS = {
  /** Deletes contexts whose time is over; an idempotent sweep, so it carries nothing. */
  'expire-contexts': { schema: z.strictObject({}), everyMs: 15_000 },
} as const satisfies Record<string, { schema: z.ZodType; everyMs: number }>;

export type JobName = keyof typeof JOBS;
/** Redis channel on which committed outbox rows are announced. */
export const OUTBOX_CHANNEL = 'syncline:outbox';

export const JOB_NAMES = Object.keys(JOBS) as JobName[];
