/** What goes into and comes out of analytics. */
import { z } from 'zod';
import { foreignIdSchema } from './contexts.ts';
import { timeSchema } from './values.ts';

export const analyticsQuery = z.strictObject({
  sessionId: foreignIdSchema.optional(),
  agentId: foreignIdSchema.optional(),
});

const count = z.int();

export const analyticsSchema = z
  .object({
    contexts: count.meta({ description: 'Contexts that are there: not deleted, not expired.' }),
    versions: count.meta({ description: 'Versions that are kept, deletes included.' }),
    bytes: count.meta({ description: 'Compact JSON of the data of these contexts.' }),
    sessions: count.meta({ description: 'Different `sessionId`s of these contexts.' }),
    agents: count.meta({ description: 'Different `agentId`s of these contexts.' }),
    operations: z
      .object({
        create: count,
        update: count,
        merge: count,
        append: count,
        rollback: count,
        delete: count,
      })
      .meta({ description: 'Versions that are kept, by what made them.' }),
    cache: z
      .object({ enabled: z.boolean(), hits: count, misses: count, hitRatio: z.number() })
      .meta({
        description:
          'Reads of the whole tenant by key that this process answered since it began: from its cache, or not. `enabled`: whether it has one.',
      }),
    topKeys: z
      .array(z.object({ key: z.string(), version: count, size: count, updatedAt: timeSchema }))
      .readonly()
      .meta({
        description: 'The ten contexts written most often: those with the highest version.',
      }),
    activity: z
      .array(z.object({ day: z.string(), operations: count }))
      .readonly()
      .meta({
        description:
          'Versions made on each of the last 30 days (UTC), oldest first; a day without any is left out.',
      }),
  })
  .meta({ id: 'Analytics' });
