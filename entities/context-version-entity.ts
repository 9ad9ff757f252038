/** Table `context_versions`. */
import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { ChangeType, DeleteReason } from '../domain/context.ts';
import type { ContextKey, TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';

/** One immutable state of a context. Retention may remove rows, nothing ever changes one. */
@Entity({ name: 'context_versions', schema: 'context_system' })
export class ContextVersionEntity {
  @PrimaryColumn({
    name: 'tenant_id',
    type: 'text',
    primaryKeyConstraintName: 'context_versions_pkey',
  })
  tenantId!: TenantId;

  @PrimaryColumn({
    type: 'text',
    collation: 'C',
    primaryKeyConstraintName: 'context_versions_pkey',
  })
  key!: ContextKey;

  @PrimaryColumn({ type: 'integer', primaryKeyConstraintName: 'context_versions_pkey' })
  version!: number;

  /** Null: this version is a delete. */
  @Column({ type: 'bytea', nullable: true })
  hash!: Buffer | null;

  @Column({ name: 'change_type', type: 'text' })
  changeType!: ChangeType;

  @Column({ type: 'text', nullable: true })
  reason!: DeleteReason | null;

  @Column({ name: 'changed_by', type: 'text', nullable: true })
  changedBy!: string | null;

  @Column({ name: 'changed_at', type: 'timestamptz' })
  changedAt!: Date;

  @Column({ type: 'text' })
  kind!: string;

  @Column({ type: 'text', nullable: true })
  source!: string | null;

  @Column({ name: 'parent_id', type: 'text', nullable: true })
  parentId!: string | null;

  @Column({ name: 'session_id', type: 'text', nullable: true })
  sessionId!: string | null;

  @Column({ name: 'agent_id', type: 'text', nullable: true })
  agentId!: string | null;

  @Column({ type: 'text', array: true, default: () => "'{}'" })
  tags!: string[];

  @Column({ type: 'json', default: () => "'{}'" })
  metadata!: JsonObject;

  @Column({ type: 'boolean', default: false })
  encrypted!: boolean;

  @Column({ type: 'boolean', default: false })
  compressed!: boolean;

  @Column({ type: 'integer' })
  size!: number;

  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;
}
