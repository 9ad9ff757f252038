/** Table `outbox`. */
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import type { TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';

/** Something to tell others after a commit; the relay deletes it once it was sent. */
@Entity({ name: 'outbox', schema: 'context_system' })
export class OutboxEntity {
  @Column({ name: 'tenant_id', type: 'text' })
  tenantId!: TenantId;

  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'outbox_pkey',
  })
  id!: string;

  @Column({ type: 'text' })
  topic!: string;

  @Column({ type: 'jsonb' })
  payload!: JsonObject;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt!: Date;

  @Column({ type: 'integer', default: 0 })
  attempts!: number;

  /** Until then a relay has it, or it waits for another try. */
  @Column({ name: 'not_before', type: 'timestamptz', default: () => 'now()' })
  notBefore!: Date;
}
