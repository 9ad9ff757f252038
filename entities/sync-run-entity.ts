/** Table `sync_runs`. */
import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { LinkId, RunId, TenantId } from '../domain/ids.ts';
import type {
  GuardTrip,
  PlannedDecision,
  RunCounters,
  RunMode,
  RunStatus,
} from '../domain/link.ts';
import { SyncLinkEntity } from './sync-link-entity.ts';

/** One run of a link that had something to do, or that somebody asked for. */
@Entity({ name: 'sync_runs', schema: 'context_system' })
@Check('sync_runs_status_check', `status IN ('running', 'settled', 'parked', 'failed', 'planned')`)
@Check('sync_runs_mode_check', `mode IN ('look', 'plan', 'undo', 'audit')`)
@Check('sync_runs_undoes_check', `(mode = 'undo') = (undoes IS NOT NULL)`)
@ForeignKey(() => SyncLinkEntity, ['tenantId', 'linkId'], ['tenantId', 'id'], {
  name: 'sync_runs_tenant_id_link_id_fkey',
  onDelete: 'CASCADE',
})
@Index('sync_runs_by_link', { synchronize: false })
@Index('sync_runs_open', { synchronize: false })
export class SyncRunEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'sync_runs_pkey' })
  tenantId!: TenantId;

  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'sync_runs_pkey' })
  id!: RunId;

  @Column({ name: 'link_id', type: 'uuid' })
  linkId!: LinkId;

  @Column({ type: 'text' })
  status!: RunStatus;

  @Column({ type: 'text' })
  trigger!: string;

  @Column({ type: 'integer' })
  epoch!: number;

  @Column({ type: 'json', default: () => "'{}'" })
  phases!: Record<string, number>;

  @Column({ type: 'json', default: () => "'{}'" })
  counters!: Partial<RunCounters>;

  @Column({ type: 'json', nullable: true })
  guard!: GuardTrip | null;

  @Column({ type: 'json', nullable: true })
  error!: { code: string; detail: string } | null;

  /** False: asked for, and not taken up yet. */
  @Column({ type: 'boolean', default: false })
  begun!: boolean;

  @Column({ name: 'approved_at', type: 'timestamptz', nullable: true })
  approvedAt!: Date | null;

  @Column({ name: 'approved_by', type: 'text', nullable: true })
  approvedBy!: string | null;

  @Column({ name: 'started_at', type: 'timestamptz', default: () => 'now()' })
  startedAt!: Date;

  @Column({ name: 'ended_at', type: 'timestamptz', nullable: true })
  endedAt!: Date | null;

  @Column({ type: 'text', default: 'look' })
  mode!: RunMode;

  /** The run this one undoes. */
  @Column({ type: 'uuid', nullable: true })
  undoes!: RunId | null;

  /** Until when its plan may be approved. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;

  /** Of a dry run: what it would settle without writing to a side, as far as it fits. */
  @Column({ type: 'json', default: () => "'[]'" })
  decisions!: PlannedDecision[];
}
