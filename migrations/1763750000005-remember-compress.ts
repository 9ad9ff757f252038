/**
 * What the writer of a context asked of compression, so that an update that says nothing keeps to it.
 * The outcome alone does not tell: a body may be small, or not shrink.
 * Locks: `ACCESS EXCLUSIVE` on `contexts` for a moment; no row is rewritten.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class RememberCompress1763750000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE context_system.contexts ADD COLUMN compress boolean');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE context_system.contexts DROP COLUMN compress');
  }
}
