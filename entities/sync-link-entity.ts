/** Table `sync_links`. */
import { Check, Column, Entity, Index, PrimaryColumn, Unique } from 'typeorm';
import type { LinkId, TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import type {
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

  /** Failed runs in a row. */
  @Column({ type: 'integer', default: 0 })
  failures!: number;

  @Column({ name: 'next_due_at', type: 'timestamptz', default: () => 'now()' })
  nextDueAt!: Date;

  @Column({ name: 'last_settled_at', type: 'timestamptz', nullable: true })
  lastSettledAt!: Date | null;

  @Column({ name: 'last_proved_equal_at', type: 'timestamptz', nullable: true })
  lastProvedEqualAt!: Date | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'now()' })
  updatedAt!: Date;
}
