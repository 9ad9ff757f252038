/**
 * What a large sync wrote and search does not know yet: a row per batch, written with the batch and
 * deleted by whoever has indexed it. Locks: none that matter; the table is new.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

// How many the keys are is a column, so that whoever only counts need not read them.
const CREATE = `
CREATE TABLE search_pending (
  tenant_id text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  contexts integer NOT NULL,
  keys text[] NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
ALTER TABLE search_pending ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_pending FORCE ROW LEVEL SECURITY;
CREATE POLICY search_pending_tenant ON search_pending TO syncline_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
CREATE POLICY search_pending_system ON search_pending TO syncline_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON search_pending TO syncline_app;
GRANT SELECT (tenant_id) ON search_pending TO syncline_system`;

export class DeferSearchIndex1763750000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(CREATE);
    await runner.query('RESET search_path');
  }

  // What is pending is found by `mend-search` too.
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE context_system.search_pending');
  }
}
