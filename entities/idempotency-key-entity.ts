/** Table `idempotency_keys`. */
import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { TenantId } from '../domain/ids.ts';

/** The answer of a request that carried an `Idempotency-Key`; no status: the request still runs. */
@Entity({ name: 'idempotency_keys', schema: 'context_system' })
@Index('idempotency_keys_expiry', { synchronize: false })
export class IdempotencyKeyEntity {
  @PrimaryColumn({
    name: 'tenant_id',
    type: 'text',
    primaryKeyConstraintName: 'idempotency_keys_pkey',
  })
  tenantId!: TenantId;

  /** SHA-256 over method, path and key. */
  @PrimaryColumn({ type: 'bytea', primaryKeyConstraintName: 'idempotency_keys_pkey' })
  slot!: Buffer;

  /** SHA-256 over what else makes the request: body, query, precondition. */
  @Column({ type: 'bytea' })
  fingerprint!: Buffer;

  /** Who may answer: an attempt that lost its lease writes nothing any more. */
  @Column({ type: 'uuid' })
  token!: string;

  @Column({ name: 'lease_until', type: 'timestamptz' })
  leaseUntil!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz' })
  expiresAt!: Date;

  @Column({ type: 'smallint', nullable: true })
  status!: number | null;

  @Column({ type: 'json', nullable: true })
  headers!: Readonly<Record<string, string>> | null;

  @Column({ type: 'text', nullable: true })
  body!: string | null;
}
