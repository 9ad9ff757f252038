/**
 * Two things a link must know to stay steady.
 *
 * `sync_links.look_whole`: its next look is to show everything, whatever its cursor says: an item is
 * looked at once more, or a new epoch begins. The cursor stays, since a connector may keep in it what
 * it alone knows of its remote (docs/decisions/0068). It used to be dropped.
 *
 * `hub_id()`: names this store and the caller's tenant, so that a link that leads back to where it
 * begins is noticed. A function, not a row: a backup that is restored elsewhere is another hub.
 *
 * Locks: `ACCESS EXCLUSIVE` on `sync_links` for a moment; no row is rewritten.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

// The database's name tells copies apart that were made within one server.
const CREATE_HUB_ID = `
DO $$ BEGIN
  EXECUTE format($function$
    CREATE FUNCTION context_system.hub_id() RETURNS text LANGUAGE sql STABLE AS $body$
      SELECT encode(sha256(convert_to(concat_ws(' ', %L::text, current_database(),
        current_setting('app.tenant')), 'UTF8')), 'hex')
    $body$ $function$, gen_random_uuid());
END $$`;

export class SteadyLinks1763760000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'ALTER TABLE context_system.sync_links ADD COLUMN look_whole boolean NOT NULL DEFAULT false',
    );
    await runner.query(CREATE_HUB_ID);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION context_system.hub_id()');
    // Without the mark only a dropped cursor asks for it.
    await runner.query(
      'UPDATE context_system.sync_links SET remote_cursor = NULL WHERE look_whole',
    );
    await runner.query('ALTER TABLE context_system.sync_links DROP COLUMN look_whole');
  }
}
