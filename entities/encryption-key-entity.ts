/** Table `encryption_keys`. */
import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { TenantId } from '../domain/ids.ts';

/** A tenant's key, wrapped by a master key that only the configuration knows. */
@Entity({ name: 'encryption_keys', schema: 'context_system' })
@Check('encryption_keys_purpose_check', `purpose IN ('data', 'id')`)
@Index('encryption_keys_current', { synchronize: false })
export class EncryptionKeyEntity {
  @PrimaryColumn({
    name: 'tenant_id',
    type: 'text',
    primaryKeyConstraintName: 'encryption_keys_pkey',
  })
  tenantId!: TenantId;

  @PrimaryColumn({ type: 'uuid', primaryKeyConstraintName: 'encryption_keys_pkey' })
  id!: string;

  /** `data` seals bodies and is rotated; `id` names them and seals kept answers, and is not. */
  @Column({ type: 'text' })
  purpose!: 'data' | 'id';

  @Column({ type: 'bytea' })
  wrapped!: Buffer;

  /** Fingerprint of the master key that wrapped it. */
  @Column({ name: 'master_id', type: 'text' })
  masterId!: string;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt!: Date;

  /** Null: new bodies are sealed with it. */
  @Column({ name: 'retired_at', type: 'timestamptz', nullable: true })
  retiredAt!: Date | null;

  /** Bodies it had sealed when it was retired, to show progress by. */
  @Column({ name: 'retired_bodies', type: 'integer', nullable: true })
  retiredBodies!: number | null;
}
