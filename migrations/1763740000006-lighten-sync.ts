/**
 * Less work per row of a sync. Every insert into `sync_items` and `sync_ops` asked the table above
 * whether its link or run exists, which cost a third of the insert; the fence, which every such
 * transaction takes first, answers that already, and whoever removes a link or a run removes what is
 * below it. An item without a name on the remote has no entry in the index of names: it cost one,
 * and without statistics the planner took that index for as good as the one by key.
 * Locks: `ACCESS EXCLUSIVE` on three tables for a moment each; the index is built under a lock that
 * stops writes of items.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = `
ALTER TABLE sync_items DROP CONSTRAINT sync_items_tenant_id_link_id_fkey;
ALTER TABLE sync_ops DROP CONSTRAINT sync_ops_tenant_id_run_id_fkey;
DROP INDEX sync_items_remote;
CREATE UNIQUE INDEX sync_items_remote ON sync_items (link_id, remote_id, tenant_id)
  WHERE remote_id IS NOT NULL`;

const DOWN = `
DROP INDEX sync_items_remote;
CREATE UNIQUE INDEX sync_items_remote ON sync_items (link_id, remote_id, tenant_id);
ALTER TABLE sync_ops ADD CONSTRAINT sync_ops_tenant_id_run_id_fkey
  FOREIGN KEY (tenant_id, run_id) REFERENCES sync_runs (tenant_id, id) ON DELETE CASCADE;
ALTER TABLE sync_items ADD CONSTRAINT sync_items_tenant_id_link_id_fkey
  FOREIGN KEY (tenant_id, link_id) REFERENCES sync_links (tenant_id, id) ON DELETE CASCADE`;

export class LightenSync1763740000006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(UP);
    await runner.query('RESET search_path');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(DOWN);
    await runner.query('RESET search_path');
  }
}
