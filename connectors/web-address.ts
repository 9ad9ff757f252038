/** The address of a remote that is spoken to over HTTP. */
import { z } from 'zod';

export const webAddressSchema = z.url({
  protocol: /^https?$/,
  error: (issue) =>
    issue.input === undefined
      ? undefined
      : 'must be an address that begins with http:// or https://',
});
