/** Who changed what, for every administrative change. Never bodies, never secrets. */
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import type { Page } from './contract.ts';
import type { Database, Transaction } from './database.ts';
import { pageOf, unpackCursor } from './paging.ts';

/** One administrative act. */
export interface AuditRow {
  readonly at: string;
  /** Name of the key that did it; `tenant/name` for one of another tenant; null: keys were off. */
  readonly actor: string | null;
  /** `<what>.<act>`, e.g. `link.patch`. */
  readonly action: string;
  /** Id of what was changed. */
  readonly target: string;
  /** What else is worth knowing: names, counts, choices. */
  readonly detail: JsonObject;
}

export interface AuditQuery {
  readonly limit: number;
  readonly cursor?: string | undefined;
  /** An action, or a group of them: `link` means all of `link.…`. */
  readonly action?: string | undefined;
  readonly actor?: string | undefined;
}

export interface AuditLog {
  /** Newest first. @throws AppError INVALID_CURSOR */
  list(tenant: TenantId, query: AuditQuery): Promise<Page<AuditRow>>;
}

/** Records one act in the log of `caller.tenant`, in the caller's transaction. */
export async function recordAudit(
  tx: Transaction,
  caller: Pick<Caller, 'tenant' | 'actor'>,
  act: { action: string; target: string; detail?: object },
): Promise<void> {
  await tx.query(
    'INSERT INTO audit (tenant_id, actor, action, target, detail) VALUES ($1, $2, $3, $4, $5)',
    [caller.tenant, caller.actor, act.action, act.target, JSON.stringify(act.detail ?? {})],
  );
}

const LIST = `
SELECT id, at, actor, action, target, detail FROM audit
WHERE tenant_id = current_setting('app.tenant') AND ($1::bigint IS NULL OR id < $1)
  AND ($2::text IS NULL OR action = $2 OR starts_with(action, $2 || '.'))
  AND ($3::text IS NULL OR actor = $3)
ORDER BY id DESC LIMIT $4`;

type Row = Omit<AuditRow, 'at'> & { readonly id: string; readonly at: Date };

export function createAuditLog(database: Database): AuditLog {
  return {
    async list(tenant, { limit, cursor, action, actor }) {
      const before = cursor === undefined ? null : idOf(cursor);
      const values = [before, action ?? null, actor ?? null, limit + 1];
      const rows = await database.withTenant(tenant, (tx) => tx.query<Row>(LIST, values));
      return pageOf(rows, limit, {
        item: ({ id: _id, at, ...row }) => ({ ...row, at: at.toISOString() }),
        sortValues: (row) => [row.id],
      });
    },
  };
}

function idOf(cursor: string): string {
  const [id] = unpackCursor(cursor, ['text']);
  if (/^\d{1,18}$/.test(String(id))) return String(id);
  throw new AppError('INVALID_CURSOR', 'this is not a cursor of this list');
}
