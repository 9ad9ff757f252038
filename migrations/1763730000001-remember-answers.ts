/**
 * Creates `idempotency_keys`: the answers of requests that carried an `Idempotency-Key`, so that a
 * request sent twice is done once.
 * Locks: none; the table is new.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

// `slot` is a hash, because a path may be longer than an index entry. No status: still running.
const CREATE = `
CREATE TABLE idempotency_keys (
  tenant_id text NOT NULL,
  slot bytea NOT NULL,
  fingerprint bytea NOT NULL,
  token uuid NOT NULL,
  lease_until timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  status smallint,
  headers json,
  body text,
  PRIMARY KEY (tenant_id, slot)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY idempotency_keys_tenant ON idempotency_keys TO syncline_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
CREATE POLICY idempotency_keys_system ON idempotency_keys TO syncline_system
  USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO syncline_app;
GRANT SELECT (tenant_id, slot, expires_at), DELETE ON idempotency_keys TO syncline_system`;

export class RememberAnswers1763730000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(CREATE);
    await runner.query('RESET search_path');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE context_system.idempotency_keys');
  }
}
