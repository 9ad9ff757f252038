/**
 * API keys that expire and whose live names are unique within their tenant; the one key the
 * configuration names is told from the others. Tenants that are being removed are marked, so that a
 * removal that was cut short goes on. The audit log can be written by the system role, which alone
 * may touch tenants.
 * Locks: `api_keys` and `tenants` exclusively for the moment of adding columns (no rewrite: every
 * default is a constant); both are small.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

// Before this, each change of CONTEXT_ROOT_KEY left one more live key called "root" behind.
const TELL_NAMES_APART = `
ALTER TABLE api_keys NO FORCE ROW LEVEL SECURITY;
UPDATE api_keys k SET name = k.name || ' ' || left(k.id::text, 8)
FROM (SELECT tenant_id, id, row_number() OVER (PARTITION BY tenant_id, name ORDER BY created_at DESC, id) AS nth
  FROM api_keys WHERE revoked_at IS NULL) d
WHERE d.tenant_id = k.tenant_id AND d.id = k.id AND d.nth > 1;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY`;

const ADD = `
ALTER TABLE api_keys
  ADD COLUMN created_by text,
  ADD COLUMN expires_at timestamptz,
  ADD COLUMN configured boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX api_keys_live_name ON api_keys (tenant_id, name) WHERE revoked_at IS NULL;
ALTER TABLE tenants ADD COLUMN removing_at timestamptz;
GRANT UPDATE (removing_at), DELETE ON tenants TO syncline_system;
GRANT INSERT ON audit TO syncline_system`;

const REMOVE = `
REVOKE INSERT ON audit FROM syncline_system;
REVOKE UPDATE (removing_at), DELETE ON tenants FROM syncline_system;
ALTER TABLE tenants DROP COLUMN removing_at;
DROP INDEX api_keys_live_name;
ALTER TABLE api_keys DROP COLUMN created_by, DROP COLUMN expires_at, DROP COLUMN configured`;

export class KeysAndTenants1763740000004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(TELL_NAMES_APART);
    await runner.query(ADD);
    await runner.query('RESET search_path');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(REMOVE);
    await runner.query('RESET search_path');
  }
}
