/** A secret in a link's config: the name of the variable that holds it, never the secret itself. */
import { z } from 'zod';

/** What to say to whoever sent something else; it must not repeat that. */
const WANTED =
  'must be {"env":"NAME"}: the name of a variable of the server that holds the secret, such as SYNCLINE_SECRET_…; a secret in clear is never stored';

export const secretReference = z.strictObject(
  { env: z.string().min(1) },
  { error: (issue) => (issue.code === 'invalid_type' ? WANTED : undefined) },
);
