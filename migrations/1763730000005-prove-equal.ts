/**
 * When each link is audited next and what its last audit proved; where each tenant's change feed
 * begins since the oldest of it was collected; and what metrics may read.
 * Locks: `sync_links` exclusively for the moment of adding columns (no rewrite: every default is a
 * constant); the table is new.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const ADD = `
ALTER TABLE sync_links
  ADD COLUMN audit_due_at timestamptz,
  ADD COLUMN proof json,
  ADD COLUMN retired_runs json NOT NULL DEFAULT '{}';
CREATE TABLE feed_horizons (
  tenant_id text NOT NULL,
  xid xid8 NOT NULL,
  seq bigint NOT NULL,
  PRIMARY KEY (tenant_id)
);
ALTER TABLE feed_horizons ENABLE ROW LEVEL SECURITY;
ALTER TABLE feed_horizons FORCE ROW LEVEL SECURITY;
CREATE POLICY feed_horizons_tenant ON feed_horizons TO syncline_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
CREATE POLICY feed_horizons_system ON feed_horizons TO syncline_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON feed_horizons TO syncline_app;
GRANT SELECT ON feed_horizons TO syncline_system;
GRANT SELECT (state, dirty_since) ON sync_items TO syncline_system;
GRANT SELECT (changed_at) ON changes TO syncline_system`;

const REMOVE = `
REVOKE SELECT (changed_at) ON changes FROM syncline_system;
REVOKE SELECT (state, dirty_since) ON sync_items FROM syncline_system;
DROP TABLE feed_horizons;
ALTER TABLE sync_links DROP COLUMN audit_due_at, DROP COLUMN proof, DROP COLUMN retired_runs`;

export class ProveEqual1763730000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(ADD);
    await runner.query('RESET search_path');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(REMOVE);
    await runner.query('RESET search_path');
  }
}
