/** Table `feed_horizons`. */
import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { TenantId } from '../domain/ids.ts';
import { XID8 } from './xid8.ts';

/** The newest change of a tenant's feed that was collected; an older cursor has expired. */
@Entity({ name: 'feed_horizons', schema: 'context_system' })
export class FeedHorizonEntity {
  @PrimaryColumn({
    name: 'tenant_id',
    type: 'text',
    primaryKeyConstraintName: 'feed_horizons_pkey',
  })
  tenantId!: TenantId;

  @Column({ type: XID8 })
  xid!: string;

  @Column({ type: 'bigint' })
  seq!: string;
}
