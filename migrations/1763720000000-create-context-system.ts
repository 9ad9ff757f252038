/**
 * Creates schema `context_system` whole: tenants, contexts, versions, blobs, the change feed, the
 * outbox, everything the sync engine remembers, and row-level security over all of it.
 * Locks: none that matter; every object is new.
 */
import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Two roles that can do nothing by themselves. `syncline_app` sees one tenant's rows (the one
 * `app.tenant` names); `syncline_system` runs the few sweeps that must see all tenants and is
 * granted only what those touch. Roles belong to the cluster, so another database may have made
 * them already, even in this very moment.
 */
const CREATE_ROLES = `
DO $$
DECLARE role_name text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['syncline_app', 'syncline_system'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role_name) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL;
    END;
    IF NOT pg_has_role(current_user, role_name, 'MEMBER') THEN
      EXECUTE format('GRANT %I TO %I', role_name, current_user);
    END IF;
  END LOOP;
END $$`;

const CREATE_TENANCY = `
CREATE TABLE tenants (
  id text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE api_keys (
  tenant_id text NOT NULL REFERENCES tenants (id),
  id uuid NOT NULL,
  name text NOT NULL,
  prefix text NOT NULL,
  hash bytea NOT NULL,
  scopes text[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  revoked_at timestamptz,
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE TABLE audit (
  tenant_id text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT now(),
  actor text,
  action text NOT NULL,
  target text NOT NULL,
  detail jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (tenant_id, id)
)`;

// Keys sort by code point ("C"), so that prefixes are ranges and paging agrees with everybody else.
// `metadata` is json, not jsonb: it comes back exactly as it was written.
const CREATE_CONTEXTS = `
CREATE TABLE blobs (
  tenant_id text NOT NULL,
  hash bytea NOT NULL,
  codec text NOT NULL CHECK (codec IN ('none', 'gzip')),
  size integer NOT NULL,
  body bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (hash, tenant_id)
);
ALTER TABLE blobs ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE contexts (
  tenant_id text NOT NULL,
  key text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  hash bytea,
  kind text NOT NULL,
  source text,
  parent_id text,
  session_id text,
  agent_id text,
  tags text[] NOT NULL DEFAULT '{}',
  metadata json NOT NULL DEFAULT '{}',
  encrypted boolean NOT NULL DEFAULT false,
  compressed boolean NOT NULL DEFAULT false,
  size integer NOT NULL,
  created_at timestamptz NOT NULL,
  created_by text,
  updated_at timestamptz NOT NULL,
  updated_by text,
  expires_at timestamptz,
  deleted boolean NOT NULL DEFAULT false,
  delete_reason text,
  PRIMARY KEY (tenant_id, key),
  CHECK (deleted = (hash IS NULL))
);
CREATE INDEX contexts_expiry ON contexts (expires_at) WHERE expires_at IS NOT NULL AND NOT deleted;
CREATE INDEX contexts_tags ON contexts USING gin (tags);
CREATE INDEX contexts_session ON contexts (tenant_id, session_id, key) WHERE session_id IS NOT NULL;
CREATE INDEX contexts_agent ON contexts (tenant_id, agent_id, key) WHERE agent_id IS NOT NULL;
CREATE INDEX contexts_parent ON contexts (tenant_id, parent_id, key) WHERE parent_id IS NOT NULL;
CREATE TABLE context_versions (
  tenant_id text NOT NULL,
  key text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  hash bytea,
  change_type text NOT NULL,
  reason text,
  changed_by text,
  changed_at timestamptz NOT NULL,
  kind text NOT NULL,
  source text,
  parent_id text,
  session_id text,
  agent_id text,
  tags text[] NOT NULL DEFAULT '{}',
  metadata json NOT NULL DEFAULT '{}',
  encrypted boolean NOT NULL DEFAULT false,
  compressed boolean NOT NULL DEFAULT false,
  size integer NOT NULL,
  expires_at timestamptz,
  PRIMARY KEY (tenant_id, key, version)
);
CREATE TABLE changes (
  tenant_id text NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  seq bigint GENERATED ALWAYS AS IDENTITY,
  key text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  change_type text NOT NULL,
  reason text,
  changed_by text,
  changed_at timestamptz NOT NULL,
  origin uuid,
  PRIMARY KEY (tenant_id, xid, seq)
);
CREATE TABLE outbox (
  tenant_id text NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text NOT NULL,
  payload jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0,
  not_before timestamptz NOT NULL DEFAULT now()
)`;

// In `sync_items` and `sync_ops` the column that tells rows apart comes second, not third: a planner
// without statistics (a first sync; PGlite always) takes two equal columns for one row, and would
// read the whole link for each item through whichever index it met first (10,000 items: 19 s and
// more). See store/sync/batch.ts for the other half.
const CREATE_SYNC = `
CREATE TABLE sync_links (
  tenant_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  connector text NOT NULL,
  config json NOT NULL,
  prefix text COLLATE "C" NOT NULL,
  direction text NOT NULL,
  strategy text NOT NULL,
  strategies json NOT NULL,
  interval_ms integer NOT NULL,
  trigger text NOT NULL,
  guards json NOT NULL,
  state text NOT NULL CHECK (state IN ('active', 'paused', 'parked', 'failed')),
  guard json,
  epoch integer NOT NULL DEFAULT 1,
  fence bigint NOT NULL DEFAULT 0,
  pass_began_at timestamptz NOT NULL DEFAULT now(),
  hub_cursor text,
  remote_cursor text,
  failures integer NOT NULL DEFAULT 0,
  next_due_at timestamptz NOT NULL DEFAULT now(),
  last_settled_at timestamptz,
  last_proved_equal_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name)
);
CREATE INDEX sync_links_due ON sync_links (next_due_at) WHERE state IN ('active', 'failed') AND trigger = 'auto';
CREATE TABLE sync_items (
  tenant_id text NOT NULL,
  link_id uuid NOT NULL,
  key text COLLATE "C" NOT NULL,
  remote_id text COLLATE "C",
  kind text NOT NULL,
  state text NOT NULL
    CHECK (state IN ('synced', 'pending', 'conflict', 'quarantined', 'held', 'excluded', 'tombstoned')),
  base_version integer,
  base_hub_hash bytea,
  base_remote_hash bytea,
  remote_status text NOT NULL CHECK (remote_status IN ('unknown', 'present', 'absent', 'faulty')),
  remote_hash bytea,
  remote_version text,
  remote_changed_at timestamptz,
  missing_scans smallint NOT NULL DEFAULT 0,
  dirty boolean NOT NULL DEFAULT true,
  dirty_since timestamptz,
  fault json,
  attempts integer NOT NULL DEFAULT 0,
  retry_at timestamptz,
  PRIMARY KEY (link_id, key, tenant_id),
  FOREIGN KEY (tenant_id, link_id) REFERENCES sync_links (tenant_id, id) ON DELETE CASCADE,
  CHECK ((base_hub_hash IS NULL) = (base_remote_hash IS NULL)),
  CHECK ((state = 'synced') <= (base_hub_hash IS NOT NULL)),
  CHECK ((state = 'tombstoned') <= (base_hub_hash IS NULL)),
  CHECK ((remote_status = 'present') = (remote_hash IS NOT NULL))
);
CREATE UNIQUE INDEX sync_items_remote ON sync_items (link_id, remote_id, tenant_id);
CREATE INDEX sync_items_dirty ON sync_items (tenant_id, link_id, key) WHERE dirty;
CREATE INDEX sync_items_retry ON sync_items (tenant_id, link_id, retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX sync_items_resting ON sync_items (tenant_id, link_id, state)
  WHERE state IN ('conflict', 'quarantined');
CREATE TABLE sync_runs (
  tenant_id text NOT NULL,
  id uuid NOT NULL,
  link_id uuid NOT NULL,
  status text NOT NULL CHECK (status IN ('running', 'settled', 'parked', 'failed')),
  trigger text NOT NULL,
  epoch integer NOT NULL,
  phases json NOT NULL DEFAULT '{}',
  counters json NOT NULL DEFAULT '{}',
  guard json,
  error json,
  begun boolean NOT NULL DEFAULT false,
  approved_at timestamptz,
  approved_by text,
  started_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, link_id) REFERENCES sync_links (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sync_runs_by_link ON sync_runs (tenant_id, link_id, started_at DESC, id);
CREATE INDEX sync_runs_open ON sync_runs (tenant_id, link_id) WHERE status = 'running';
CREATE TABLE sync_ops (
  tenant_id text NOT NULL,
  run_id uuid NOT NULL,
  seq integer NOT NULL,
  link_id uuid NOT NULL,
  op_id uuid NOT NULL,
  action text NOT NULL CHECK (action IN ('create', 'update', 'delete', 'merge')),
  side text NOT NULL CHECK (side IN ('hub', 'remote', 'both')),
  reason text NOT NULL,
  key text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  remote_id text COLLATE "C" NOT NULL,
  hub_version integer NOT NULL,
  hub_hash bytea,
  remote_version text,
  remote_hash bytea,
  hub_after bytea,
  remote_after bytea,
  state text NOT NULL CHECK (state IN ('planned', 'intended', 'done', 'stale', 'failed')),
  detail text,
  PRIMARY KEY (run_id, seq, tenant_id),
  FOREIGN KEY (tenant_id, run_id) REFERENCES sync_runs (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sync_ops_open ON sync_ops (tenant_id, link_id) WHERE state = 'intended';
CREATE TABLE sync_conflicts (
  tenant_id text NOT NULL,
  id uuid NOT NULL,
  link_id uuid NOT NULL,
  key text COLLATE "C" NOT NULL,
  status text NOT NULL CHECK (status IN ('open', 'resolved', 'closed')),
  reason text NOT NULL,
  base_hash bytea,
  hub_hash bytea,
  hub_version integer NOT NULL,
  remote_hash bytea,
  remote_version text,
  pointers json NOT NULL,
  proposal_hash bytea,
  due_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz,
  resolved_by text,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, link_id) REFERENCES sync_links (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX sync_conflicts_open ON sync_conflicts (tenant_id, link_id, key) WHERE status = 'open';
CREATE INDEX sync_conflicts_list ON sync_conflicts (tenant_id, status, created_at, id)`;

const TENANT_TABLES = [
  'api_keys',
  'audit',
  'blobs',
  'contexts',
  'context_versions',
  'changes',
  'outbox',
  'sync_links',
  'sync_items',
  'sync_runs',
  'sync_ops',
  'sync_conflicts',
];

/** What the sweeps over all tenants may touch: the relay, the pulse, expiry, key look-up. */
const SYSTEM_GRANTS = `
GRANT SELECT, INSERT ON tenants TO syncline_system;
GRANT SELECT ON api_keys TO syncline_system;
GRANT UPDATE (last_used_at) ON api_keys TO syncline_system;
GRANT SELECT, UPDATE, DELETE ON outbox TO syncline_system;
GRANT SELECT, UPDATE ON sync_links TO syncline_system;
GRANT SELECT (tenant_id, key, version, expires_at, deleted) ON contexts TO syncline_system`;

function isolate(table: string): string {
  return `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY ${table}_tenant ON ${table} TO syncline_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
CREATE POLICY ${table}_system ON ${table} TO syncline_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO syncline_app`;
}

export class CreateContextSystem1763720000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(CREATE_ROLES);
    await runner.query('CREATE SCHEMA IF NOT EXISTS context_system');
    await runner.query('SET LOCAL search_path = context_system, public');
    for (const part of [CREATE_TENANCY, CREATE_CONTEXTS, CREATE_SYNC]) await runner.query(part);
    await runner.query('GRANT USAGE ON SCHEMA context_system TO syncline_app, syncline_system');
    for (const table of TENANT_TABLES) await runner.query(isolate(table));
    await runner.query(`
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenants_self ON tenants FOR SELECT TO syncline_app
  USING (id = nullif(current_setting('app.tenant', true), ''));
CREATE POLICY tenants_system ON tenants TO syncline_system USING (true) WITH CHECK (true);
GRANT SELECT ON tenants TO syncline_app`);
    await runner.query(SYSTEM_GRANTS);
    await runner.query('SET LOCAL ROLE syncline_system');
    await runner.query(`INSERT INTO tenants (id, name) VALUES ('default', 'Default')`);
    await runner.query('RESET ROLE');
    await runner.query('RESET search_path');
  }

  // The two roles stay: another database of the cluster may use them.
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP SCHEMA context_system CASCADE');
  }
}
