/** The client's `keys`, `tenants` and `auditLog`. */
import type {
  ApiKey,
  AuditRow,
  MadeApiKey,
  NewApiKey,
  NewTenant,
  Page,
  Tenant,
  TenantRemoval,
} from '../api/contract.ts';
import type { PageQuery } from './sync-calls.ts';
import type { Transport } from './transport.ts';

/** Another tenant than the key's own; needs the scope `root`. */
export interface OfTenant {
  readonly tenant?: string;
}

export interface KeyCalls {
  /** The answer has the key, this once. Never repeated by itself: the answer is not kept. */
  create(key: NewApiKey): Promise<MadeApiKey>;
  /** Newest first; revoked ones when asked for. */
  list(query?: PageQuery & OfTenant & { readonly revoked?: boolean }): Promise<Page<ApiKey>>;
  /** By id, or by the name of a live one. */
  revoke(idOrName: string, options?: OfTenant): Promise<ApiKey>;
}

export interface TenantCalls {
  create(tenant: NewTenant): Promise<Tenant>;
  list(query?: PageQuery): Promise<Page<Tenant>>;
  /** With `force` its data, too. While `removed` is false, call it again in a moment. */
  remove(id: string, options?: { readonly force?: boolean }): Promise<TenantRemoval>;
}

export interface AuditLogCalls {
  /** Who changed what, newest first. `action` is one act, or a group like `link`. */
  list(
    query?: PageQuery & OfTenant & { readonly action?: string; readonly actor?: string },
  ): Promise<Page<AuditRow>>;
}

const KEYS = '/api/admin/keys';
const TENANTS = '/api/admin/tenants';
const READ = { isRepeatable: true } as const;
const WRITE = { isRepeatable: false } as const;
/** Removing rows takes a while. */
const REMOVE_EXTRA_MS = 15_000;

/** Calls about API keys. */
export function keyCalls({ call }: Transport): KeyCalls {
  return {
    create: (key) => call('POST', KEYS, { ...WRITE, isSecret: true, body: key }),
    list: (query) => call('GET', KEYS, { ...READ, query: { ...query } }),
    revoke: (idOrName, options) =>
      call('DELETE', `${KEYS}/${encodeURIComponent(idOrName)}`, {
        ...WRITE,
        query: { ...options },
      }),
  };
}

/** Calls about tenants. */
export function tenantCalls({ call }: Transport): TenantCalls {
  return {
    create: (tenant) => call('POST', TENANTS, { ...WRITE, body: tenant }),
    list: (query) => call('GET', TENANTS, { ...READ, query: { ...query } }),
    // Once more, it goes on where it stopped.
    remove: (id, options) =>
      call('DELETE', `${TENANTS}/${encodeURIComponent(id)}`, {
        ...READ,
        query: { ...options },
        extraMs: REMOVE_EXTRA_MS,
      }),
  };
}

/** Calls about the audit log. */
export function auditLogCalls({ call }: Transport): AuditLogCalls {
  return {
    list: (query) => call('GET', '/api/admin/audit', { ...READ, query: { ...query } }),
  };
}
