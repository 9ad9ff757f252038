/**
 * Creates `encryption_keys`, the tenants' wrapped keys, and lets a blob name the key that sealed it and
 * the context it is sealed for.
 * Locks: ACCESS EXCLUSIVE on `blobs` while the index and the constraints read it once; the columns are
 * nullable, and no existing row is changed.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

// One current data key and one id key per tenant: the partial indexes decide the race of two writers
// that both find none. The foreign key keeps a key as long as a body needs it, whoever deletes it.
const CREATE = `
CREATE TABLE encryption_keys (
  tenant_id text NOT NULL,
  id uuid NOT NULL,
  purpose text NOT NULL CHECK (purpose IN ('data', 'id')),
  wrapped bytea NOT NULL,
  master_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  retired_at timestamptz,
  retired_bodies integer,
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX encryption_keys_current ON encryption_keys (tenant_id, purpose)
  WHERE retired_at IS NULL;
ALTER TABLE encryption_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE encryption_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY encryption_keys_tenant ON encryption_keys TO syncline_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
CREATE POLICY encryption_keys_system ON encryption_keys TO syncline_system
  USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON encryption_keys TO syncline_app;
GRANT SELECT (tenant_id, id, purpose, master_id, retired_at) ON encryption_keys TO syncline_system;
ALTER TABLE blobs ADD COLUMN key_id uuid, ADD COLUMN sealed_for text COLLATE "C",
  ADD CONSTRAINT blobs_sealed_check CHECK ((key_id IS NULL) = (sealed_for IS NULL));
CREATE INDEX blobs_key ON blobs (tenant_id, key_id, hash) WHERE key_id IS NOT NULL;
ALTER TABLE blobs ADD CONSTRAINT blobs_key_fkey FOREIGN KEY (tenant_id, key_id)
  REFERENCES encryption_keys (tenant_id, id)`;

// Without its key a sealed body is lost, so going back waits until there is none.
const REFUSE_SEALED = `
DO $$ BEGIN
  IF EXISTS (SELECT 1 FROM context_system.encryption_keys WHERE purpose = 'data') THEN
    RAISE EXCEPTION 'contexts are encrypted: decrypt them and delete the keys first';
  END IF;
END $$`;

export class EncryptBodies1763740000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(CREATE);
    await runner.query('RESET search_path');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL ROLE syncline_system');
    await runner.query(REFUSE_SEALED);
    await runner.query('RESET ROLE');
    await runner.query(
      'ALTER TABLE context_system.blobs DROP COLUMN key_id, DROP COLUMN sealed_for',
    );
    await runner.query('DROP TABLE context_system.encryption_keys');
  }
}
