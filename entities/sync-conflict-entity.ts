/** Table `sync_conflicts`. */
import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ConflictId, ContextKey, LinkId, TenantId } from '../domain/ids.ts';
import type { ConflictReason, ConflictStatus } from '../domain/link.ts';
import { SyncLinkEntity } from './sync-link-entity.ts';

/** An item both sides changed in ways that do not merge; at most one open one per item. */
@Entity({ name: 'sync_conflicts', schema: 'context_system' })
@Check('sync_conflicts_status_check', `status IN ('open', 'resolved', 'closed')`)
@ForeignKey(() => SyncLinkEntity, ['tenantId', 'linkId'], ['tenantId', 'id'], {
  name: 'sync_conflicts_tenant_id_link_id_fkey',
  onDelete: 'CASCADE',
})
@Index('sync_conflicts_by_item', { synchronize: false })
@Index('sync_conflicts_list', { synchronize: false })
@Index('sync_conflicts_open', { synchronize: false })
@Index('sync_conflicts_watched', { synchronize: false })
export class SyncConflictEntity {
  @PrimaryColumn({
    name: 'tenant_id',
    type: 'text',
    primaryKeyConstraintName: 'sync_conflicts_pkey',
  })
  tenantId!: TenantId;

  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'sync_conflicts_pkey' })
  id!: ConflictId;

  @Column({ name: 'link_id', type: 'uuid' })
  linkId!: LinkId;

  @Column({ type: 'text', collation: 'C' })
  key!: ContextKey;

  @Column({ type: 'text' })
  status!: ConflictStatus;

  @Column({ type: 'text' })
  reason!: ConflictReason;

  @Column({ name: 'base_hash', type: 'bytea', nullable: true })
  baseHash!: Buffer | null;

  @Column({ name: 'hub_hash', type: 'bytea', nullable: true })
  hubHash!: Buffer | null;

  @Column({ name: 'hub_version', type: 'integer' })
  hubVersion!: number;

  @Column({ name: 'remote_hash', type: 'bytea', nullable: true })
  remoteHash!: Buffer | null;

  @Column({ name: 'remote_version', type: 'text', nullable: true })
  remoteVersion!: string | null;

  @Column({ type: 'json' })
  pointers!: string[];

  @Column({ name: 'proposal_hash', type: 'bytea', nullable: true })
  proposalHash!: Buffer | null;

  @Column({ name: 'due_at', type: 'timestamptz', nullable: true })
  dueAt!: Date | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt!: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'now()' })
  updatedAt!: Date;

  @Column({ name: 'resolved_at', type: 'timestamptz', nullable: true })
  resolvedAt!: Date | null;

  @Column({ name: 'resolved_by', type: 'text', nullable: true })
  resolvedBy!: string | null;

  /** Counts the states it went through; a decision may name the one it was made on. */
  @Column({ type: 'integer', default: 1 })
  revision!: number;

  /** When somebody last made sure that its workflow is there. */
  @Column({ name: 'watched_at', type: 'timestamptz', default: () => 'now()' })
  watchedAt!: Date;
}
