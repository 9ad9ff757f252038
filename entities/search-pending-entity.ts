/** Table `search_pending`. */
import { Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import type { ContextKey, TenantId } from '../domain/ids.ts';

/** Contexts of one batch of a large sync that search does not know yet. */
@Entity({ name: 'search_pending', schema: 'context_system' })
export class SearchPendingEntity {
  @PrimaryColumn({
    name: 'tenant_id',
    type: 'text',
    primaryKeyConstraintName: 'search_pending_pkey',
  })
  tenantId!: TenantId;

  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'search_pending_pkey',
  })
  id!: string;

  /** How many keys there are. */
  @Column({ type: 'integer' })
  contexts!: number;

  @Column({ type: 'text', array: true })
  keys!: ContextKey[];
}
