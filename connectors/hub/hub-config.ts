/** How a link names another Syncline. The key is a reference, resolved when the link is opened. */
import { z } from 'zod';
import { rateLimitSchema } from '../rate-limit.ts';
import { secretReference } from '../secret-reference.ts';
import { webAddressSchema } from '../web-address.ts';

export const hubConfigSchema = z.strictObject({
  url: webAddressSchema
    .refine(isBare, 'must name neither user, query nor fragment')
    .describe('Base address of the other Syncline, e.g. http://127.0.0.1:3100.'),
  apiKey: secretReference
    .optional()
    .describe(
      'Variable that holds a key with the scopes read and write; not needed while keys are off there.',
    ),
  prefix: z
    .string()
    .max(512)
    .optional()
    .describe("Start of the keys on the other side; left out, the link's own prefix."),
  rateLimit: rateLimitSchema.optional(),
});

/** Config of the `hub` connector. */
export type HubConfig = z.infer<typeof hubConfigSchema>;

function isBare(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { username, password, search, hash } = new URL(url);
  return username + password + search + hash === '';
}
