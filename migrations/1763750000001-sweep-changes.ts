/**
 * Lets the sweeps' role read the versions of changes: the cache's net looks through the change feed
 * of all tenants for what it was not told of.
 * Locks: none that anybody would wait for; no row is touched.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class SweepChanges1763750000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('GRANT SELECT (version) ON context_system.changes TO syncline_system');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('REVOKE SELECT (version) ON context_system.changes FROM syncline_system');
  }
}
