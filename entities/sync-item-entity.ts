/** Table `sync_items`. */
import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { ContextKey, LinkId, RemoteId, TenantId } from '../domain/ids.ts';
import type { ItemKind } from '../domain/item.ts';
import type { ItemState } from '../domain/link.ts';

/** One thing a link keeps in step: its base, the remote as last seen, and why it rests, if it does. */
@Entity({ name: 'sync_items', schema: 'context_system' })
@Check('sync_items_check1', `(state = 'synced') <= (base_hub_hash IS NOT NULL)`)
@Check('sync_items_check2', `(state = 'tombstoned') <= (base_hub_hash IS NULL)`)
@Check('sync_items_check3', `(remote_status = 'present') = (remote_hash IS NOT NULL)`)
@Check('sync_items_check', '(base_hub_hash IS NULL) = (base_remote_hash IS NULL)')
@Check(
  'sync_items_remote_status_check',
  `remote_status IN ('unknown', 'present', 'absent', 'faulty')`,
)
@Check(
  'sync_items_state_check',
  `state IN ('synced', 'pending', 'conflict', 'quarantined', 'held', 'excluded', 'tombstoned')`,
)
@Index('sync_items_dirty', { synchronize: false })
@Index('sync_items_remote', { synchronize: false })
@Index('sync_items_resting', { synchronize: false })
@Index('sync_items_retry', { synchronize: false })
export class SyncItemEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'sync_items_pkey' })
  tenantId!: TenantId;

  @PrimaryColumn({ name: 'link_id', type: 'uuid', primaryKeyConstraintName: 'sync_items_pkey' })
  linkId!: LinkId;

  @PrimaryColumn({ type: 'text', collation: 'C', primaryKeyConstraintName: 'sync_items_pkey' })
  key!: ContextKey;

  @Column({ name: 'remote_id', type: 'text', collation: 'C', nullable: true })
  remoteId!: RemoteId | null;

  @Column({ type: 'text' })
  kind!: ItemKind;

  @Column({ type: 'text' })
  state!: ItemState;

  @Column({ name: 'base_version', type: 'integer', nullable: true })
  baseVersion!: number | null;

  @Column({ name: 'base_hub_hash', type: 'bytea', nullable: true })
  baseHubHash!: Buffer | null;

  @Column({ name: 'base_remote_hash', type: 'bytea', nullable: true })
  baseRemoteHash!: Buffer | null;

  @Column({ name: 'remote_status', type: 'text' })
  remoteStatus!: 'unknown' | 'present' | 'absent' | 'faulty';

  @Column({ name: 'remote_hash', type: 'bytea', nullable: true })
  remoteHash!: Buffer | null;

  @Column({ name: 'remote_version', type: 'text', nullable: true })
  remoteVersion!: string | null;

  @Column({ name: 'remote_changed_at', type: 'timestamptz', nullable: true })
  remoteChangedAt!: Date | null;

  /** Complete scans in a row that did not show it; -1: not shown, and nobody deleted it there. */
  @Column({ name: 'missing_scans', type: 'smallint', default: 0 })
  missingScans!: number;

  /** Differs from its base as far as anybody knows; a plan has to look. */
  @Column({ type: 'boolean', default: true })
  dirty!: boolean;

  @Column({ name: 'dirty_since', type: 'timestamptz', nullable: true })
  dirtySince!: Date | null;

  @Column({ type: 'json', nullable: true })
  fault!: { code: string; detail: string } | null;

  @Column({ type: 'integer', default: 0 })
  attempts!: number;

  @Column({ name: 'retry_at', type: 'timestamptz', nullable: true })
  retryAt!: Date | null;
}
