/**
 * Dry runs and undo: what a run is for, the run it undoes, until when its plan may be approved and
 * what it decided besides its ops; per op what the remote really took over, and, for an op that undoes
 * another, what becomes of its item. A link remembers the connector version of its epoch and how many
 * conflicts an operator let pass.
 * Locks: `ACCESS EXCLUSIVE` on three tables for the moment of adding columns with constant defaults;
 * the new checks read `sync_runs` once; the index is built under a lock that stops writes of ops.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const ADD = `
ALTER TABLE sync_runs
  ADD COLUMN mode text NOT NULL DEFAULT 'look',
  ADD COLUMN undoes uuid,
  ADD COLUMN expires_at timestamptz,
  ADD COLUMN decisions json NOT NULL DEFAULT '[]';
ALTER TABLE sync_runs ADD CONSTRAINT sync_runs_mode_check
  CHECK (mode IN ('look', 'plan', 'undo', 'audit'));
ALTER TABLE sync_runs ADD CONSTRAINT sync_runs_undoes_check CHECK ((mode = 'undo') = (undoes IS NOT NULL));
ALTER TABLE sync_runs DROP CONSTRAINT sync_runs_status_check;
ALTER TABLE sync_runs ADD CONSTRAINT sync_runs_status_check
  CHECK (status IN ('running', 'settled', 'parked', 'failed', 'planned'));
ALTER TABLE sync_ops
  ADD COLUMN remote_written bytea,
  ADD COLUMN undo_to text,
  ADD COLUMN other_base bytea;
ALTER TABLE sync_ops ADD CONSTRAINT sync_ops_undo_to_check CHECK (undo_to IN ('held', 'agreed'));
CREATE INDEX sync_ops_dropped ON sync_ops (run_id, seq) WHERE state IN ('stale', 'failed');
ALTER TABLE sync_links
  ADD COLUMN connector_version integer,
  ADD COLUMN conflicts_accepted integer NOT NULL DEFAULT 0`;

const REMOVE = `
ALTER TABLE sync_links DROP COLUMN conflicts_accepted, DROP COLUMN connector_version;
DROP INDEX sync_ops_dropped;
ALTER TABLE sync_ops DROP COLUMN other_base, DROP COLUMN undo_to, DROP COLUMN remote_written;
DELETE FROM sync_runs WHERE status = 'planned';
ALTER TABLE sync_runs DROP CONSTRAINT sync_runs_status_check;
ALTER TABLE sync_runs ADD CONSTRAINT sync_runs_status_check
  CHECK (status IN ('running', 'settled', 'parked', 'failed'));
ALTER TABLE sync_runs DROP CONSTRAINT sync_runs_undoes_check;
ALTER TABLE sync_runs DROP COLUMN decisions, DROP COLUMN expires_at, DROP COLUMN undoes,
  DROP COLUMN mode`;

export class PlanAndUndo1763730000004 implements MigrationInterface {
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
