/** Table `sync_ops`. */
import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { ContextKey, LinkId, OpId, RemoteId, RunId, TenantId } from '../domain/ids.ts';
import type { ItemKind } from '../domain/item.ts';

/** One intended write of a run, recorded before the remote is touched (write-ahead). */
@Entity({ name: 'sync_ops', schema: 'context_system' })
@Check('sync_ops_action_check', `action IN ('create', 'update', 'delete', 'merge')`)
@Check('sync_ops_side_check', `side IN ('hub', 'remote', 'both')`)
@Check('sync_ops_state_check', `state IN ('planned', 'intended', 'done', 'stale', 'failed')`)
@Check('sync_ops_undo_to_check', `undo_to IN ('held', 'agreed')`)
@Index('sync_ops_merges', { synchronize: false })
@Index('sync_ops_dropped', { synchronize: false })
@Index('sync_ops_open', { synchronize: false })
export class SyncOpEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'sync_ops_pkey' })
  tenantId!: TenantId;

  @PrimaryColumn({ name: 'run_id', type: 'uuid', primaryKeyConstraintName: 'sync_ops_pkey' })
  runId!: RunId;

  @PrimaryColumn({ type: 'integer', primaryKeyConstraintName: 'sync_ops_pkey' })
  seq!: number;

  @Column({ name: 'link_id', type: 'uuid' })
  linkId!: LinkId;

  @Column({ name: 'op_id', type: 'uuid' })
  opId!: OpId;

  @Column({ type: 'text' })
  action!: 'create' | 'update' | 'delete' | 'merge';

  @Column({ type: 'text' })
  side!: 'hub' | 'remote' | 'both';

  @Column({ type: 'text' })
  reason!: string;

  @Column({ type: 'text', collation: 'C' })
  key!: ContextKey;

  @Column({ type: 'text' })
  kind!: ItemKind;

  @Column({ name: 'remote_id', type: 'text', collation: 'C' })
  remoteId!: RemoteId;

  /** The hub as the plan saw it; 0: no such context. */
  @Column({ name: 'hub_version', type: 'integer' })
  hubVersion!: number;

  @Column({ name: 'hub_hash', type: 'bytea', nullable: true })
  hubHash!: Buffer | null;

  /** The remote as the plan saw it. */
  @Column({ name: 'remote_version', type: 'text', nullable: true })
  remoteVersion!: string | null;

  @Column({ name: 'remote_hash', type: 'bytea', nullable: true })
  remoteHash!: Buffer | null;

  @Column({ name: 'hub_after', type: 'bytea', nullable: true })
  hubAfter!: Buffer | null;

  @Column({ name: 'remote_after', type: 'bytea', nullable: true })
  remoteAfter!: Buffer | null;

  @Column({ type: 'text' })
  state!: 'planned' | 'intended' | 'done' | 'stale' | 'failed';

  @Column({ type: 'text', nullable: true })
  detail!: string | null;

  /** Hash of what the remote really took over; null: nothing was written there, or deleted. */
  @Column({ name: 'remote_written', type: 'bytea', nullable: true })
  remoteWritten!: Buffer | null;

  /** What an op that undoes another makes of its item; null: an ordinary op. */
  @Column({ name: 'undo_to', type: 'text', nullable: true })
  undoTo!: 'held' | 'agreed' | null;

  /** Of such an op: the agreed hash of the side it leaves alone (of the hub where it writes both). */
  @Column({ name: 'other_base', type: 'bytea', nullable: true })
  otherBase!: Buffer | null;
}
