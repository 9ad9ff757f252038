/** Links: what is connected, with which policy, in which state. */
import type { Clock } from '../domain/clock.ts';
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import { isUuid, type IdSource, type LinkId } from '../domain/ids.ts';
import { canonicalJson, type Json, type JsonObject } from '../domain/json.ts';
import {
  DEFAULT_GUARDS,
  type AuditProof,
  type ConflictFallback,
  type Direction,
  type GuardConfig,
  type GuardTrip,
  type Link,
  type LinkState,
  type Strategy,
  type StrategyRule,
  type Trigger,
} from '../domain/link.ts';
import { recordAudit } from './audit.ts';
import type { LinkStore, NewLink } from './contract.ts';
import { sqlStateOf, type Database, type Transaction } from './database.ts';
import { readStatus } from './link-status.ts';
import { wakeLink } from './outbox.ts';
import { pageOf, unpackCursor } from './paging.ts';
import {
  readQuarantined,
  releaseQuarantined,
  retryQuarantined,
  type QuarantineChange,
} from './quarantine.ts';
import { closeConflictsOfLink, setConflictFallback } from './sync/conflicts.ts';
import { dropIntents } from './sync/drop-intents.ts';

export interface LinkRow {
  id: LinkId;
  name: string;
  connector: string;
  config: JsonObject;
  connector_version: number | null;
  prefix: string;
  direction: Direction;
  strategy: Strategy;
  strategies: StrategyRule[];
  interval_ms: number;
  trigger: Trigger;
  guards: GuardConfig;
  conflict_fallback: ConflictFallback | null;
  state: LinkState;
  guard: GuardTrip | null;
  epoch: number;
  fence: string;
  hub_cursor: string | null;
  remote_cursor: string | null;
  cursor_doubted: boolean;
  look_whole: boolean;
  failures: number;
  next_due_at: Date;
  last_settled_at: Date | null;
  last_proved_equal_at: Date | null;
  proof: AuditProof | null;
  created_at: Date;
  updated_at: Date;
}

export interface LinkStoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly newId: IdSource;
  readonly onCommitted: () => void;
}

export function createLinkStore({ database, clock, newId, onCommitted }: LinkStoreDeps): LinkStore {
  /** One audited change of a link, after which its workflow looks. */
  async function change(
    caller: Caller,
    id: LinkId,
    {
      action,
      apply,
      detail = {},
    }: {
      action: string;
      apply: (tx: Transaction, link: LinkRow) => Promise<void>;
      detail?: object;
    },
  ): Promise<Link> {
    const link = await database.withTenant(caller.tenant, async (tx) => {
      await apply(tx, await lockLink(tx, id));
      await recordAudit(tx, caller, { action, target: id, detail });
      await wakeLink(tx, id);
      return lockLink(tx, id);
    });
    onCommitted();
    return linkOf(link);
  }

  /** One audited change of a link's quarantine, after which its workflow looks. */
  async function unlock(
    caller: Caller,
    id: LinkId,
    { action, apply }: { action: string; apply: (tx: Transaction) => Promise<QuarantineChange> },
  ): Promise<QuarantineChange> {
    const done = await database.withTenant(caller.tenant, async (tx) => {
      await lockLink(tx, id);
      const changed = await apply(tx);
      await recordAudit(tx, caller, { action, target: id, detail: { count: changed.count } });
      if (changed.count > 0) await wakeLink(tx, id);
      return changed;
    });
    onCommitted();
    return done;
  }

  return {
    async create(caller, link) {
      const id = newId() as LinkId;
      const row = await database.withTenant(caller.tenant, async (tx) => {
        await tx
          .query(INSERT_LINK, [id, ...policyValues(link), link.connector, link.config])
          .catch((error: unknown) => {
            throw translateDuplicate(error, link.name);
          });
        if (link.conflictFallback) await setConflictFallback(tx, id, link.conflictFallback);
        const detail = { name: link.name, connector: link.connector };
        await recordAudit(tx, caller, { action: 'link.create', target: id, detail });
        await wakeLink(tx, id);
        return lockLink(tx, id);
      });
      onCommitted();
      return linkOf(row);
    },

    async list(caller, { limit, cursor }) {
      const [after] = cursor === undefined ? [null] : unpackCursor(cursor, ['text']);
      const rows = await database.withTenant(caller.tenant, (tx) =>
        tx.query<LinkRow>(LIST_LINKS, [after, limit + 1]),
      );
      return pageOf(rows, limit, { item: linkOf, sortValues: (row) => [row.name] });
    },

    async get(caller, idOrName) {
      const isId = isUuid(idOrName);
      const [row] = await database.withTenant(caller.tenant, (tx) =>
        tx.query<LinkRow>(`${SELECT_LINK} AND ${isId ? 'id = $1' : 'name = $1'}`, [idOrName]),
      );
      if (!row) throw linkNotFound(idOrName);
      return linkOf(row);
    },

    async remove(caller, id) {
      await database.withTenant(caller.tenant, async (tx) => {
        const { name } = await lockLink(tx, id);
        await closeConflictsOfLink(tx, id);
        // The fence keeps a pass from adding to them once the link is locked.
        for (const statement of REMOVE_LINK) await tx.query(statement, [id]);
        await recordAudit(tx, caller, { action: 'link.remove', target: id, detail: { name } });
        await wakeLink(tx, id);
      });
      onCommitted();
    },

    patch: (caller, id, changes) =>
      change(caller, id, {
        action: 'link.patch',
        // Which fields, not their values: a config may name what is nobody's business.
        detail: { fields: Object.keys(changes) },
        apply: async (tx, row) => {
          const before = linkOf(row);
          const after = { ...before, ...changes };
          await tx.query(UPDATE_POLICY, [id, ...policyValues(after)]).catch((error: unknown) => {
            throw translateDuplicate(error, after.name);
          });
          if (changes.conflictFallback !== undefined)
            await setConflictFallback(tx, id, changes.conflictFallback);
          if (policyText(before) === policyText(after)) return;
          if (after.scope.prefix !== row.prefix) await dropIntents(tx, row, new Date(clock.now()));
          await openEpoch(tx, row, after.scope.prefix);
        },
      }),

    pause: (caller, id) =>
      change(caller, id, { action: 'link.pause', apply: (tx) => putInState(tx, id, PAUSE) }),

    resume: (caller, id) =>
      change(caller, id, { action: 'link.resume', apply: (tx) => putInState(tx, id, RESUME) }),

    reset: (caller, id) =>
      change(caller, id, {
        action: 'link.reset',
        apply: (tx, row) => openEpoch(tx, row),
      }),

    async status(caller, id) {
      return database.withTenant(caller.tenant, async (tx) => {
        const [row] = await tx.query<LinkRow>(`${SELECT_LINK} AND id = $1`, [id]);
        if (!row) throw linkNotFound(id);
        return readStatus(tx, row, () => clock.now());
      });
    },

    quarantined: (caller, id) =>
      database.withTenant(caller.tenant, (tx) => readQuarantined(tx, id)),

    retryQuarantined: (caller, id, choice) =>
      unlock(caller, id, {
        action: 'quarantine.retry',
        apply: (tx) => retryQuarantined(tx, id, choice),
      }),

    releaseQuarantined: (caller, id, choice) =>
      unlock(caller, id, {
        action: 'quarantine.release',
        apply: (tx) => releaseQuarantined(tx, id, choice),
      }),
  };
}

const SELECT_LINK = `SELECT * FROM sync_links WHERE tenant_id = current_setting('app.tenant')`;

const LIST_LINKS = `${SELECT_LINK} AND ($1::text IS NULL OR name > $1) ORDER BY name LIMIT $2`;

// The rest of a link goes with its row: runs and conflicts.
const REMOVE_LINK = [
  `DELETE FROM sync_ops o USING sync_runs r WHERE r.tenant_id = current_setting('app.tenant')
     AND r.link_id = $1 AND o.tenant_id = r.tenant_id AND o.run_id = r.id`,
  `DELETE FROM sync_items WHERE tenant_id = current_setting('app.tenant') AND link_id = $1`,
  `DELETE FROM sync_links WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
];

const INSERT_LINK = `
INSERT INTO sync_links (tenant_id, id, name, prefix, direction, strategy, strategies, interval_ms,
  trigger, guards, connector, config, state)
VALUES (current_setting('app.tenant'), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'active')`;

const UPDATE_POLICY = `
UPDATE sync_links SET name = $2, prefix = $3, direction = $4, strategy = $5, strategies = $6,
  interval_ms = $7, trigger = $8, guards = $9, updated_at = now()
WHERE tenant_id = current_setting('app.tenant') AND id = $1`;

/** The link's row, locked until the transaction ends. @throws AppError LINK_NOT_FOUND */
export async function lockLink(tx: Transaction, id: LinkId): Promise<LinkRow> {
  const [row] = await tx.query<LinkRow>(`${SELECT_LINK} AND id = $1 FOR UPDATE`, [id]);
  if (!row) throw linkNotFound(id);
  return row;
}

/**
 * New epoch: every base is forgotten, so nothing can be deleted before a whole baseline. Items
 * under the prefix become unknown again; those that left it are excluded, not deleted, and give up
 * their names on the remote: what is there belongs to the new scope.
 * So does an item whose name is the rest of its key below the old prefix, as on a keyed remote: below
 * the new one another item is called that. It is named, or met by its key, at the next look.
 *
 * @param link as it was
 * @param prefix of the new epoch; left out, the link keeps its own
 */
export async function openEpoch(
  tx: Transaction,
  { id, prefix: old }: Pick<LinkRow, 'id' | 'prefix'>,
  prefix = old,
): Promise<void> {
  await tx.query(
    `UPDATE sync_links SET epoch = epoch + 1, fence = fence + 1, hub_cursor = NULL, look_whole = true,
       guard = NULL, state = CASE WHEN state = 'parked' THEN 'active' ELSE state END, updated_at = now()
     WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
    [id],
  );
  await tx.query(FORGET_BASES, [id, prefix, old]);
  await closeConflictsOfLink(tx, id);
  // A plan of the old epoch, approved or not, must not delete what the new one has yet to look at.
  await tx.query(
    `UPDATE sync_ops SET state = 'stale', detail = 'the link was changed or reset since the plan'
     WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND state = 'planned'`,
    [id],
  );
}

const KEEPS_NAME = `starts_with(key, $2)
  AND ($2 = $3 OR remote_id IS DISTINCT FROM substr(key, length($3) + 1))`;

// What the remote cannot show is still nobody's to decide.
const STAYS_ASIDE = `(remote_status = 'faulty' AND state <> 'tombstoned' AND ${KEEPS_NAME})`;

const FORGET_BASES = `
UPDATE sync_items SET base_version = NULL, base_hub_hash = NULL, base_remote_hash = NULL,
  state = CASE WHEN NOT starts_with(key, $2) THEN 'excluded'
               WHEN state = 'tombstoned' THEN 'tombstoned'
               WHEN ${STAYS_ASIDE} THEN 'quarantined' ELSE 'pending' END,
  dirty = starts_with(key, $2) AND state <> 'tombstoned' AND NOT ${STAYS_ASIDE}, retry_at = NULL, attempts = 0,
  remote_id = CASE WHEN ${KEEPS_NAME} THEN remote_id END,
  remote_status = CASE WHEN ${KEEPS_NAME} THEN remote_status ELSE 'unknown' END,
  remote_hash = CASE WHEN ${KEEPS_NAME} THEN remote_hash END,
  remote_version = CASE WHEN ${KEEPS_NAME} THEN remote_version END
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1`;

async function putInState(tx: Transaction, id: LinkId, statement: string): Promise<void> {
  await tx.query(statement, [id]);
}

// What parked the link stays with it while it is paused: the plan still waits for somebody.
const PAUSE = setState(`'paused'`);
const RESUME = setState(`CASE WHEN guard IS NULL THEN 'active' ELSE 'parked' END`);

function setState(state: string): string {
  return `
UPDATE sync_links SET state = ${state}, failures = 0, next_due_at = now(),
  rests_until = NULL, quiet_looks = 0, updated_at = now()
WHERE tenant_id = current_setting('app.tenant') AND id = $1`;
}

/** A link as other rooms see it. */
export function linkOf(row: LinkRow): Link {
  return {
    id: row.id,
    name: row.name,
    connector: row.connector,
    config: row.config,
    scope: { prefix: row.prefix },
    direction: row.direction,
    strategy: row.strategy,
    strategies: row.strategies,
    intervalMs: row.interval_ms,
    trigger: row.trigger,
    // A row of before a guard was known has its default.
    guards: { ...DEFAULT_GUARDS, ...row.guards },
    conflictFallback: row.conflict_fallback,
    state: row.state,
    guard: row.guard,
    epoch: row.epoch,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

function policyValues(link: Omit<NewLink, 'connector' | 'config'>): unknown[] {
  return [
    link.name,
    link.scope.prefix,
    link.direction,
    link.strategy,
    JSON.stringify(link.strategies),
    link.intervalMs,
    link.trigger,
    JSON.stringify(link.guards),
  ];
}

/** What decides outcomes; a change of it opens a new epoch (P21). */
function policyText(link: Omit<NewLink, 'connector' | 'config'>): string {
  const { scope, direction, strategy, strategies, guards } = link;
  return canonicalJson([scope.prefix, direction, strategy, plain(strategies), plain(guards)]);
}

/** The value as a json column gives it back: without members that are undefined. */
function plain(value: object): Json {
  return JSON.parse(JSON.stringify(value)) as Json;
}

function translateDuplicate(error: unknown, name: string): unknown {
  if (sqlStateOf(error) !== '23505') return error;
  const detail = `a link named ${JSON.stringify(name)} exists`;
  return new AppError('VALIDATION', detail, { errors: [{ pointer: '/name', detail }] });
}

function linkNotFound(idOrName: string): AppError {
  return new AppError('LINK_NOT_FOUND', `there is no link ${JSON.stringify(idOrName)}`);
}
