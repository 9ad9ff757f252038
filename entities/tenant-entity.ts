/** Table `tenants`. */
import { Check, Column, Entity, PrimaryColumn } from 'typeorm';
import type { TenantId } from '../domain/ids.ts';

/** A tenant: the isolation boundary every other row belongs to. */
@Entity({ name: 'tenants', schema: 'context_system' })
@Check('tenants_id_check', `id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'`)
export class TenantEntity {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'tenants_pkey' })
  id!: TenantId;

  @Column({ type: 'text' })
  name!: string;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt!: Date;

  /** Since when it is being removed; its keys open nothing from then on. */
  @Column({ name: 'removing_at', type: 'timestamptz', nullable: true })
  removingAt!: Date | null;
}
