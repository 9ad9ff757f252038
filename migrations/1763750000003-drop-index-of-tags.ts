/**
 * The index of tags was written with each context and never read: its operators are not leakproof, so
 * row-level security keeps every query of ours from it. Searches by tag have an index of their own
 * (`context_search_words`); lists read a page of the tenant by key.
 * Locks: `ACCESS EXCLUSIVE` on contexts for a moment.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class DropIndexOfTags1763750000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX context_system.contexts_tags');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX contexts_tags ON context_system.contexts USING gin (tags)');
  }
}
