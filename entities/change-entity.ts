/** Table `changes`. */
import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import type { ChangeType, DeleteReason } from '../domain/context.ts';
import type { ContextKey, LinkId, TenantId } from '../domain/ids.ts';
import { XID8 } from './xid8.ts';

/** One row of the change feed. Its place in commit order is (xid, seq), read below the oldest open xid. */
@Entity({ name: 'changes', schema: 'context_system' })
export class ChangeEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'changes_pkey' })
  tenantId!: TenantId;

  /** Transaction that wrote it, as a position of the feed. */
  @PrimaryColumn({
    type: XID8,
    default: () => 'context_system.feed_position(pg_current_xact_id())',
    primaryKeyConstraintName: 'changes_pkey',
  })
  xid!: string;

  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'changes_pkey',
  })
  seq!: string;

  @Column({ type: 'text', collation: 'C' })
  key!: ContextKey;

  @Column({ type: 'integer' })
  version!: number;

  @Column({ name: 'change_type', type: 'text' })
  changeType!: ChangeType;

  @Column({ type: 'text', nullable: true })
  reason!: DeleteReason | null;

  @Column({ name: 'changed_by', type: 'text', nullable: true })
  changedBy!: string | null;

  @Column({ name: 'changed_at', type: 'timestamptz' })
  changedAt!: Date;

  /** The link that wrote it; its own changes do not wake it. */
  @Column({ type: 'uuid', nullable: true })
  origin!: LinkId | null;
}
