/** Table `sync_links`. */
import { Check, Column, Entity, Index, PrimaryColumn, Unique } from 'typeorm';
import type { LinkId, TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import type {
  AuditProof,
  ConflictFallback,
  Direction,
  GuardConfig,
  GuardTrip,
  LinkState,
  Strategy,
  StrategyRule,
  Trigger,
} from '../domain/link.ts';

/** A link: one remote, its policy, where its cursors stand, and the fence of its newest pass. */
@Entity({ name: 'sync_links', schema: 'context_system' })
@Check('sync_links_state_check', `state IN ('active', 'paused', 'parked', 'failed')`)
@Unique('sync_links_tenant_id_name_key', ['tenantId', 'name'])
@Index('sync_links_due', { synchronize: false })
@Index('sync_links_live', { synchronize: false })
export class SyncLinkEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'sync_links_pkey' })
  tenantId!: TenantId;

  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'sync_links_pkey' })
  id!: LinkId;

  @Column({ type: 'text' })
  name!: string;

  @Column({ type: 'text' })
  connector!: string;

  @Column({ type: 'json' })
  config!: JsonObject;

  /** Keys of the hub the link covers. */
  @Column({ type: 'text', collation: 'C' })
  prefix!: string;

  @Column({ type: 'text' })
  direction!: Direction;

  @Column({ type: 'text' })
  strategy!: Strategy;

  @Column({ type: 'json' })
  strategies!: StrategyRule[];

  @Column({ name: 'interval_ms', type: 'integer' })
  intervalMs!: number;

  @Column({ type: 'text' })
  trigger!: Trigger;

  @Column({ type: 'json' })
  guards!: GuardConfig;

  /** What decides a conflict nobody decided in time; null: conflicts wait for a person. */
  @Column({ name: 'conflict_fallback', type: 'json', nullable: true })
  conflictFallback!: ConflictFallback | null;

  @Column({ type: 'text' })
  state!: LinkState;

  @Column({ type: 'json', nullable: true })
  guard!: GuardTrip | null;

  @Column({ type: 'integer', default: 1 })
  epoch!: number;

  /** Counts passes; a pass with an older number can settle nothing. */
  @Column({ type: 'bigint', default: 0 })
  fence!: string;

  /** When its newest pass took the fence. */
  @Column({ name: 'pass_began_at', type: 'timestamptz', default: () => 'now()' })
  passBeganAt!: Date;

  @Column({ name: 'hub_cursor', type: 'text', nullable: true })
  hubCursor!: string | null;

  @Column({ name: 'remote_cursor', type: 'text', nullable: true })
  remoteCursor!: string | null;

  /** What is known of the remote has moved on since the cursor was given; see ObserveRequest. */
  @Column({ name: 'cursor_doubted', type: 'boolean', default: true })
  cursorDoubted!: boolean;

  /** The next look shows everything, whatever the cursor says; see ObserveRequest. */
  @Column({ name: 'look_whole', type: 'boolean', default: false })
  lookWhole!: boolean;

  /** Failed runs in a row. */
  @Column({ type: 'integer', default: 0 })
  failures!: number;

  @Column({ name: 'next_due_at', type: 'timestamptz', default: () => 'now()' })
  nextDueAt!: Date;

  /** Until when it counts as under way; null: it is not. */
  @Column({ name: 'live_until', type: 'timestamptz', nullable: true })
  liveUntil!: Date | null;

  /** The remote asked to be left alone until then. */
  @Column({ name: 'rests_until', type: 'timestamptz', nullable: true })
  restsUntil!: Date | null;

  /** Looks in a row that found nothing changed. */
  @Column({ name: 'quiet_looks', type: 'integer', default: 0 })
  quietLooks!: number;

  /** When it gets a whole pass although nothing seems changed. */
  @Column({ name: 'whole_due_at', type: 'timestamptz', default: () => 'now()' })
  wholeDueAt!: Date;

  @Column({ name: 'last_settled_at', type: 'timestamptz', nullable: true })
  lastSettledAt!: Date | null;

  @Column({ name: 'last_proved_equal_at', type: 'timestamptz', nullable: true })
  lastProvedEqualAt!: Date | null;

  /** When it is audited next; null: no time was set yet. */
  @Column({ name: 'audit_due_at', type: 'timestamptz', nullable: true })
  auditDueAt!: Date | null;

  /** What its last finished audit counted. */
  @Column({ type: 'json', nullable: true })
  proof!: AuditProof | null;

  /** How many runs of each status retention has deleted. */
  @Column({ name: 'retired_runs', type: 'json', default: () => "'{}'" })
  retiredRuns!: Readonly<Record<string, number>>;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'now()' })
  updatedAt!: Date;

  /** Version of the connector's mapping this epoch began with; null: not begun yet. */
  @Column({ name: 'connector_version', type: 'integer', nullable: true })
  connectorVersion!: number | null;

  /** How many conflicts an operator let the next run open in spite of the budget. */
  @Column({ name: 'conflicts_accepted', type: 'integer', default: 0 })
  conflictsAccepted!: number;
}
