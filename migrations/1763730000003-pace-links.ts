/**
 * Paces links: how long each counts as under way, how long it rests for a remote that asked to be
 * left alone, how often in a row nothing was found, and when it is looked at whole. The pulse may
 * ask whether a link has work on the hub's side, so the sweeps' role may read the columns that say so.
 * Locks: `sync_links` exclusively, for as long as it takes to add columns (no rewrite: every default
 * is a constant of the statement) and to build one small index.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class PaceLinks1763730000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
ALTER TABLE context_system.sync_links
  ADD COLUMN live_until timestamptz,
  ADD COLUMN rests_until timestamptz,
  ADD COLUMN quiet_looks integer NOT NULL DEFAULT 0,
  ADD COLUMN whole_due_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX sync_links_live ON context_system.sync_links (live_until) WHERE live_until IS NOT NULL;
GRANT SELECT (tenant_id, link_id, dirty, retry_at) ON context_system.sync_items TO syncline_system;
GRANT SELECT (tenant_id, link_id, status) ON context_system.sync_runs TO syncline_system;
GRANT SELECT (tenant_id, link_id, state) ON context_system.sync_ops TO syncline_system;
GRANT SELECT (tenant_id, xid, seq, key, origin) ON context_system.changes TO syncline_system`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
REVOKE SELECT (tenant_id, xid, seq, key, origin) ON context_system.changes FROM syncline_system;
REVOKE SELECT (tenant_id, link_id, state) ON context_system.sync_ops FROM syncline_system;
REVOKE SELECT (tenant_id, link_id, status) ON context_system.sync_runs FROM syncline_system;
REVOKE SELECT (tenant_id, link_id, dirty, retry_at) ON context_system.sync_items FROM syncline_system;
ALTER TABLE context_system.sync_links DROP COLUMN live_until, DROP COLUMN rests_until,
  DROP COLUMN quiet_looks, DROP COLUMN whole_due_at`);
  }
}
