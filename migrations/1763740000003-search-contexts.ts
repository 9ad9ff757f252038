/**
 * Full-text search: one row of words and filters per live context. The rows of contexts that exist
 * already are written afterwards by the job `mend-search`, a batch at a time; until then those are
 * not found. Locks: none that matter; every object is new, and no existing table is touched.
 *
 * `@@` and `@>` are not leakproof, so row-level security keeps them from every index: they would be
 * tried on all rows of the tenant. `search_candidates` steps around it for this one question. It
 * belongs to a role that nobody can be, may read this one table and run this one statement, and takes
 * the tenant from the setting the policies take it from.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

// Rows up to a page stay in one piece and uncompressed: ranking reads the words of each candidate
// once per word searched for. `sample` is a hash of the key: the lowest
// sixteenth is indexed, a fair sample of the keys.
// A large pending list would be read whole by every search; a small one is merged by writers.
const CREATE = `
CREATE TABLE context_search (
  tenant_id text NOT NULL,
  key text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  words tsvector NOT NULL,
  facets text[] NOT NULL,
  updated_at timestamptz NOT NULL,
  expires_at timestamptz,
  sample integer NOT NULL,
  PRIMARY KEY (tenant_id, key)
) WITH (toast_tuple_target = 8160);
ALTER TABLE context_search ALTER COLUMN words SET STORAGE EXTERNAL;
CREATE INDEX context_search_words ON context_search USING gin (words, facets)
  WITH (fastupdate = on, gin_pending_list_limit = 1024);
CREATE INDEX context_search_recent ON context_search (tenant_id, updated_at, key);
CREATE INDEX context_search_sample ON context_search (tenant_id, sample) WHERE sample < -1879048192;
ALTER TABLE context_search ENABLE ROW LEVEL SECURITY;
ALTER TABLE context_search FORCE ROW LEVEL SECURITY;
CREATE POLICY context_search_tenant ON context_search TO syncline_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
CREATE POLICY context_search_system ON context_search TO syncline_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON context_search TO syncline_app`;

const CREATE_ROLE = `
DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'syncline_search') THEN
    CREATE ROLE syncline_search NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;
END $$;
DO $$
BEGIN
  IF NOT pg_has_role(current_user, 'syncline_search', 'MEMBER') THEN
    EXECUTE format('GRANT syncline_search TO %I', current_user);
  END IF;
END $$`;

// Both statements say the same; a null query means "whatever has these facets". The tenant's condition
// is written so that no other index than that of words and facets (the tenant is one) can serve it:
// a planner without statistics would read the tenant through another.
const CREATE_FUNCTION = `
CREATE POLICY context_search_search ON context_search FOR SELECT TO syncline_search USING (true);
GRANT USAGE ON SCHEMA context_system TO syncline_search;
GRANT SELECT ON context_search TO syncline_search;
CREATE FUNCTION search_candidates(wanted tsquery, filter text[], start text, at timestamptz, most integer)
RETURNS TABLE (key text, words tsvector, updated_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 500
SET search_path = context_system, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
  IF wanted IS NULL THEN
    RETURN QUERY SELECT s.key, s.words, s.updated_at FROM context_search s
    WHERE s.facets @> filter AND s.tenant_id || '' = current_setting('app.tenant', true)
      AND starts_with(s.key, start) AND (s.expires_at IS NULL OR s.expires_at > at)
    LIMIT most;
  ELSE
    RETURN QUERY SELECT s.key, s.words, s.updated_at FROM context_search s
    WHERE s.words @@ wanted AND s.facets @> filter
      AND s.tenant_id || '' = current_setting('app.tenant', true)
      AND starts_with(s.key, start) AND (s.expires_at IS NULL OR s.expires_at > at)
    LIMIT most;
  END IF;
END $$;
REVOKE ALL ON FUNCTION search_candidates FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_candidates TO syncline_app;
GRANT CREATE ON SCHEMA context_system TO syncline_search;
ALTER FUNCTION search_candidates OWNER TO syncline_search;
REVOKE CREATE ON SCHEMA context_system FROM syncline_search`;

const REMOVE = `
DROP FUNCTION search_candidates;
DROP TABLE context_search;
REVOKE USAGE ON SCHEMA context_system FROM syncline_search`;

export class SearchContexts1763740000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(CREATE);
    await runner.query(CREATE_ROLE);
    await runner.query(CREATE_FUNCTION);
    await runner.query('RESET search_path');
  }

  // The role stays: another database of the cluster may use it.
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    await runner.query(REMOVE);
    await runner.query('RESET search_path');
  }
}
