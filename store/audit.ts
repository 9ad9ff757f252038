/** Who changed what, for every administrative change. Never bodies, never secrets. */
import type { Caller } from '../domain/context.ts';
import type { Transaction } from './database.ts';

/** Records one act in the caller's transaction. */
export async function recordAudit(
  tx: Transaction,
  caller: Caller,
  act: { action: string; target: string; detail?: object },
): Promise<void> {
  await tx.query(
    `INSERT INTO audit (tenant_id, actor, action, target, detail)
     VALUES (current_setting('app.tenant'), $1, $2, $3, $4)`,
    [caller.actor, act.action, act.target, JSON.stringify(act.detail ?? {})],
  );
}
