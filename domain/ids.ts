/** Branded identifiers: a link id cannot be passed where a run id is meant. */
import { z } from 'zod';

/** A tenant: the isolation boundary. 1–63 of a–z 0–9 _ -, starting with a letter or digit. */
export type TenantId = string & { readonly __brand: 'TenantId' };
export type LinkId = string & { readonly __brand: 'LinkId' };
export type RunId = string & { readonly __brand: 'RunId' };
export type OpId = string & { readonly __brand: 'OpId' };
export type ConflictId = string & { readonly __brand: 'ConflictId' };
/** Key of a context within its tenant, 1–512 code points. */
export type ContextKey = string & { readonly __brand: 'ContextKey' };
/** A remote's own name for an item: an entity name, a section name, a path. */
export type RemoteId = string & { readonly __brand: 'RemoteId' };

export const tenantIdSchema = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9_-]{0,62}$/,
    'a tenant id is 1–63 of a–z 0–9 _ - and starts with a–z or 0–9',
  )
  .transform((id) => id as TenantId);

/** Whether a text is an id we could have given; anything else names nothing of ours. */
export function isUuid(id: string): boolean {
  return z.uuid().safeParse(id).success;
}

/** Makes unique ids; injected, so that tests can make them predictable. */
export type IdSource = () => string;
