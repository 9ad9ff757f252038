/** Table `audit`. */
import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import type { TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';

/** Who changed what, administratively. Never bodies, never secrets. */
@Entity({ name: 'audit', schema: 'context_system' })
export class AuditEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'audit_pkey' })
  tenantId!: TenantId;

  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'audit_pkey',
  })
  id!: string;

  @Column({ type: 'timestamptz', default: () => 'now()' })
  at!: Date;

  @Column({ type: 'text', nullable: true })
  actor!: string | null;

  @Column({ type: 'text' })
  action!: string;

  @Column({ type: 'text' })
  target!: string;

  @Column({ type: 'jsonb', default: () => "'{}'" })
  detail!: JsonObject;
}
