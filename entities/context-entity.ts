/** Table `contexts`. */
import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { DeleteReason } from '../domain/context.ts';
import type { ContextKey, TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';

/** A context as it is now; a deleted one stays as a row, so that its version numbers go on. */
@Entity({ name: 'contexts', schema: 'context_system' })
@Check('contexts_check', 'deleted = (hash IS NULL)')
@Index('contexts_agent', { synchronize: false })
@Index('contexts_expiry', { synchronize: false })
@Index('contexts_long_key', { synchronize: false })
@Index('contexts_parent', { synchronize: false })
@Index('contexts_session', { synchronize: false })
export class ContextEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'contexts_pkey' })
  tenantId!: TenantId;

  @PrimaryColumn({ type: 'text', collation: 'C', primaryKeyConstraintName: 'contexts_pkey' })
  key!: ContextKey;

  @Column({ type: 'integer' })
  version!: number;

  /** Null: deleted. */
  @Column({ type: 'bytea', nullable: true })
  hash!: Buffer | null;

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

  /** What the writer asked for; null: by size. */
  @Column({ type: 'boolean', nullable: true })
  compress!: boolean | null;

  /** Bytes of compact JSON. */
  @Column({ type: 'integer' })
  size!: number;

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @Column({ name: 'created_by', type: 'text', nullable: true })
  createdBy!: string | null;

  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  @Column({ name: 'updated_by', type: 'text', nullable: true })
  updatedBy!: string | null;

  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;

  @Column({ type: 'boolean', default: false })
  deleted!: boolean;

  @Column({ name: 'delete_reason', type: 'text', nullable: true })
  deleteReason!: DeleteReason | null;
}
