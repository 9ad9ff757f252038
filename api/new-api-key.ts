/** Makes API keys. */
import { randomBytes } from 'node:crypto';

/** A new API key: `sk_` and 256 random bits. */
export function newApiKey(): string {
  return `sk_${randomBytes(32).toString('base64url')}`;
}
