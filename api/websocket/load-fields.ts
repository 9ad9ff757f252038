/** Reads the parts of a changed context that a subscription asked for. */
import type { Context } from '../../domain/context.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { ContextStore, WatchedChange } from '../../store/contract.ts';
import { selectFields } from '../fields.ts';
import type { UpdatePayload } from './messages.ts';

/** The context as of that very version; null: deleted, expired, or no longer kept. */
export async function loadChanged(
  contexts: ContextStore,
  tenant: TenantId,
  { change }: WatchedChange,
): Promise<Context | null> {
  if (change.deleted === true) return null;
  return contexts.get({ tenant, actor: null }, change.key, change.version);
}

/** What an update with these fields carries. */
export function withFields(
  { change }: WatchedChange,
  context: Context | null,
  fields: string,
): UpdatePayload {
  return { ...change, ...(context === null ? {} : selectFields(context, fields)) };
}
