/**
 * Adds what an operator may call from psql, and what the jobs call themselves:
 * `cleanup_expired_contexts()`, `archive_old_versions(n)` and `get_context_stats()`.
 * Locks: none; functions only.
 *
 * They run with the caller's rights, as role `syncline_app` for one tenant at a time. Which tenants:
 * the one `app.tenant` names; where it names none, all of them, for a login that may take the role
 * `syncline_system` (the one that migrated may); for a session that is `syncline_app` already, none.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

// `SET ROLE` inside a function is refused to SECURITY DEFINER ones, and a login without the role is
// refused it here: nobody gets at more than without these functions.
const TENANTS_MEANT = `
CREATE FUNCTION tenants_meant() RETURNS text[] LANGUAGE plpgsql SECURITY INVOKER
SET search_path = context_system, pg_temp AS $$
DECLARE
  named text := nullif(current_setting('app.tenant', true), '');
  role_before text := current_setting('role');
  found text[];
BEGIN
  IF named IS NOT NULL THEN RETURN ARRAY[named]; END IF;
  IF current_user = 'syncline_app' THEN RETURN '{}'; END IF;
  PERFORM set_config('role', 'syncline_system', true);
  SELECT coalesce(array_agg(id ORDER BY id), '{}') INTO found FROM tenants;
  PERFORM set_config('role', role_before, true);
  RETURN found;
END $$`;

const ENTER = `
    PERFORM set_config('role', 'syncline_app', true), set_config('app.tenant', one, true);`;
const LEAVE = `
  PERFORM set_config('app.tenant', tenant_before, true), set_config('role', role_before, true);`;
const REMEMBER = `
  one text;
  role_before text := current_setting('role');
  tenant_before text := coalesce(current_setting('app.tenant', true), '');`;

// What a delete through the API leaves behind, in one statement. A context whose version numbers are used
// up cannot be deleted; it is read as expired all the same. A context that is being written right
// now is passed over: the writer may give it more time, and the next sweep looks again. The search
// index is a table of a later migration; nobody calls this before all have run.
const CLEANUP = `
CREATE FUNCTION cleanup_expired_contexts(max_rows integer DEFAULT NULL, at timestamptz DEFAULT now())
RETURNS integer LANGUAGE plpgsql SECURITY INVOKER SET search_path = context_system, pg_temp AS $$
DECLARE${REMEMBER}
  expired integer := 0;
  gone integer;
BEGIN
  FOREACH one IN ARRAY tenants_meant() LOOP${ENTER}
    WITH due AS (
      SELECT * FROM contexts c WHERE c.tenant_id = one AND c.expires_at <= at AND NOT c.deleted
        AND c.version < 2147483647
      ORDER BY c.expires_at, c.key LIMIT max_rows - expired FOR UPDATE SKIP LOCKED
    ), versions AS (
      INSERT INTO context_versions (tenant_id, key, version, change_type, reason, changed_by,
        changed_at, kind, source, parent_id, session_id, agent_id, tags, metadata, size, expires_at)
      SELECT d.tenant_id, d.key, d.version + 1, 'delete', 'ttl', 'expiry',
        at, d.kind, d.source, d.parent_id, d.session_id, d.agent_id, d.tags, d.metadata, 0, d.expires_at
      FROM due d
    ), feed AS (
      INSERT INTO changes (tenant_id, key, version, change_type, reason, changed_by, changed_at)
      SELECT d.tenant_id, d.key, d.version + 1, 'delete', 'ttl', 'expiry', at
      FROM due d ORDER BY d.expires_at, d.key
    ), sent AS (
      INSERT INTO outbox (tenant_id, topic, payload)
      SELECT one, 'contexts.changed', jsonb_build_object('keys', jsonb_agg(d.key), 'origin', NULL)
      FROM due d HAVING count(*) > 0
    ), unindexed AS (
      DELETE FROM context_search s USING due d WHERE s.tenant_id = one AND s.key = d.key
    )
    UPDATE contexts c SET version = d.version + 1, hash = NULL, encrypted = false,
      compressed = false, size = 0, updated_at = at, updated_by = 'expiry', deleted = true,
      delete_reason = 'ttl'
    FROM due d WHERE c.tenant_id = one AND c.key = d.key;
    GET DIAGNOSTICS gone = ROW_COUNT;
    expired := expired + gone;
  END LOOP;${LEAVE}
  RETURN expired;
END $$`;

// What a link, an open conflict or an unfinished op still needs stays, however old.
const ARCHIVE = `
CREATE FUNCTION archive_old_versions(keep integer DEFAULT 100, max_rows integer DEFAULT NULL)
RETURNS integer LANGUAGE plpgsql SECURITY INVOKER SET search_path = context_system, pg_temp AS $$
DECLARE${REMEMBER}
  archived integer := 0;
  gone integer;
BEGIN
  IF keep IS NULL OR keep < 1 THEN
    RAISE EXCEPTION 'archive_old_versions keeps at least 1 version' USING ERRCODE = '22023';
  END IF;
  FOREACH one IN ARRAY tenants_meant() LOOP${ENTER}
    WITH old AS (
      SELECT v.key, v.version FROM contexts c
      JOIN context_versions v ON v.tenant_id = c.tenant_id AND v.key = c.key
        AND v.version <= c.version - keep
      WHERE c.tenant_id = one AND c.version > keep
        AND NOT EXISTS (SELECT 1 FROM sync_links l JOIN sync_items i
          ON i.tenant_id = l.tenant_id AND i.link_id = l.id AND i.key = v.key
          WHERE l.tenant_id = one AND i.base_hub_hash IS NOT NULL AND i.base_version = v.version)
        AND NOT EXISTS (SELECT 1 FROM sync_conflicts x WHERE x.tenant_id = one AND x.key = v.key
          AND x.status = 'open' AND x.hub_version = v.version)
        AND NOT EXISTS (SELECT 1 FROM sync_ops o WHERE o.tenant_id = one AND o.key = v.key
          AND o.state IN ('planned', 'intended') AND o.hub_version = v.version)
      LIMIT max_rows - archived
    )
    DELETE FROM context_versions v USING old
    WHERE v.tenant_id = one AND v.key = old.key AND v.version = old.version;
    GET DIAGNOSTICS gone = ROW_COUNT;
    archived := archived + gone;
  END LOOP;${LEAVE}
  RETURN archived;
END $$`;

const STATS = `
CREATE FUNCTION get_context_stats(session text DEFAULT NULL, agent text DEFAULT NULL,
  at timestamptz DEFAULT now())
RETURNS TABLE (tenant text, contexts bigint, versions bigint, bytes bigint, sessions bigint,
  agents bigint, expired bigint, deleted bigint, oldest timestamptz, newest timestamptz)
LANGUAGE plpgsql SECURITY INVOKER SET search_path = context_system, pg_temp AS $$
#variable_conflict use_column
DECLARE${REMEMBER}
BEGIN
  FOREACH one IN ARRAY tenants_meant() LOOP${ENTER}
    RETURN QUERY
    SELECT one, s.there, v.kept, s.bytes, s.sessions, s.agents, s.over, s.gone, s.oldest, s.newest
    FROM (
      SELECT count(*) FILTER (WHERE l.is_live) AS there,
        coalesce(sum(l.size) FILTER (WHERE l.is_live), 0)::bigint AS bytes,
        count(DISTINCT l.session_id) FILTER (WHERE l.is_live) AS sessions,
        count(DISTINCT l.agent_id) FILTER (WHERE l.is_live) AS agents,
        count(*) FILTER (WHERE NOT l.is_live AND NOT l.deleted) AS over,
        count(*) FILTER (WHERE l.deleted) AS gone,
        min(l.created_at) FILTER (WHERE l.is_live) AS oldest,
        max(l.updated_at) FILTER (WHERE l.is_live) AS newest
      FROM (
        SELECT c.size, c.session_id, c.agent_id, c.deleted, c.created_at, c.updated_at,
          NOT c.deleted AND (c.expires_at IS NULL OR c.expires_at > at) AS is_live
        FROM contexts c WHERE c.tenant_id = one
          AND (session IS NULL OR c.session_id = session) AND (agent IS NULL OR c.agent_id = agent)
      ) l
    ) s, (
      SELECT count(*) AS kept FROM context_versions v WHERE v.tenant_id = one
        AND (session IS NULL OR v.session_id = session) AND (agent IS NULL OR v.agent_id = agent)
    ) v;
  END LOOP;${LEAVE}
END $$`;

const SIGNATURES = [
  'tenants_meant()',
  'cleanup_expired_contexts(integer, timestamptz)',
  'archive_old_versions(integer, integer)',
  'get_context_stats(text, text, timestamptz)',
];

export class AddMaintenanceFunctions1763740000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('SET LOCAL search_path = context_system, public');
    for (const create of [TENANTS_MEANT, CLEANUP, ARCHIVE, STATS]) await runner.query(create);
    for (const signature of SIGNATURES) {
      await runner.query(`REVOKE ALL ON FUNCTION ${signature} FROM PUBLIC`);
      await runner.query(`GRANT EXECUTE ON FUNCTION ${signature} TO syncline_app, syncline_system`);
    }
    await runner.query('RESET search_path');
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const signature of SIGNATURES.toReversed()) {
      await runner.query(`DROP FUNCTION context_system.${signature}`);
    }
  }
}
