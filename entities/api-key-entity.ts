/** Table `api_keys`. */
import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { TenantId } from '../domain/ids.ts';
import { TenantEntity } from './tenant-entity.ts';

/** An API key: its SHA-256 and what may be shown of it, never the key itself. */
@Entity({ name: 'api_keys', schema: 'context_system' })
@ForeignKey(() => TenantEntity, ['tenantId'], ['id'], { name: 'api_keys_tenant_id_fkey' })
@Index('api_keys_hash', { synchronize: false })
@Index('api_keys_live_name', { synchronize: false })
export class ApiKeyEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'api_keys_pkey' })
  tenantId!: TenantId;

  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'api_keys_pkey' })
  id!: string;

  @Column({ type: 'text' })
  name!: string;

  /** The first characters, to tell keys apart. */
  @Column({ type: 'text' })
  prefix!: string;

  @Column({ type: 'bytea' })
  hash!: Buffer;

  @Column({ type: 'text', array: true })
  scopes!: string[];

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt!: Date;

  @Column({ name: 'last_used_at', type: 'timestamptz', nullable: true })
  lastUsedAt!: Date | null;

  @Column({ name: 'revoked_at', type: 'timestamptz', nullable: true })
  revokedAt!: Date | null;

  @Column({ name: 'created_by', type: 'text', nullable: true })
  createdBy!: string | null;

  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;

  /** Whether it is the key `CONTEXT_ROOT_KEY` names, or named. */
  @Column({ type: 'boolean', default: false })
  configured!: boolean;
}
