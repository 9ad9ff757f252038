/** Encryption keys and their rotation, as they are asked for and answered. */
import { z } from 'zod';
import { tenantOfCall } from './admin.ts';
import { timeSchema } from './values.ts';

export const rotateSchema = z
  .strictObject({ tenant: tenantOfCall })
  .meta({ id: 'RotateEncryptionKey' });

export const rotationQuery = z.strictObject({ tenant: tenantOfCall });

export const rotationSchema = z
  .object({
    state: z.enum(['idle', 'running']).meta({
      description: '`running`: some bodies are still sealed with a retired key.',
    }),
    current: z
      .object({ id: z.string(), createdAt: timeSchema })
      .nullable()
      .meta({ description: 'Seals new bodies; null: nothing was encrypted yet.' }),
    retiring: z
      .array(
        z.object({
          id: z.string(),
          retiredAt: timeSchema,
          bodies: z.int().meta({ description: 'Bodies it had sealed when it was retired.' }),
          left: z.int().meta({ description: 'Bodies it still seals.' }),
        }),
      )
      .readonly()
      .meta({ description: 'Keys from before; each is deleted once it seals nothing.' }),
    master: z.object({
      id: z.string().meta({ description: 'Fingerprint of the configured master key.' }),
      keysToRewrap: z.int().meta({
        description:
          'Keys that an older master key still wraps. At 0 it may leave `security.encryption.old_keys`.',
      }),
    }),
  })
  .meta({ id: 'Rotation' });
