/** What processes tell each other of contexts they changed, as JSON on a channel of Redis. */
import { z } from 'zod';
import { tenantIdSchema, type ContextKey } from '../domain/ids.ts';

const announcement = z.object({
  /** Which process says it. */
  from: z.string(),
  tenant: tenantIdSchema,
  /** Null: too many; they are in the feed. */
  changes: z
    .array(z.object({ key: z.string().transform((key) => key as ContextKey), version: z.number() }))
    .readonly()
    .nullable(),
  /** Whether they are committed, and the cache in Redis has let go of what was before. */
  isClean: z.boolean(),
});

/** Changes of a tenant, told by the process that made them. */
export type Announcement = Readonly<z.infer<typeof announcement>>;

/** Null: it is not one of ours. */
export function announcementOf(text: string): Announcement | null {
  try {
    return announcement.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
