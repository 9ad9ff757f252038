/** Table `blobs`. */
import { Check, Column, Entity, PrimaryColumn } from 'typeorm';
import type { TenantId } from '../domain/ids.ts';

/** A body, stored once per tenant under the SHA-256 of its canonical JSON. */
@Entity({ name: 'blobs', schema: 'context_system' })
@Check('blobs_codec_check', `codec IN ('none', 'gzip')`)
export class BlobEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'blobs_pkey' })
  tenantId!: TenantId;

  @PrimaryColumn({ type: 'bytea', primaryKeyConstraintName: 'blobs_pkey' })
  hash!: Buffer;

  @Column({ type: 'text' })
  codec!: 'none' | 'gzip';

  /** Bytes of compact JSON, before compression. */
  @Column({ type: 'integer' })
  size!: number;

  @Column({ type: 'bytea' })
  body!: Buffer;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt!: Date;
}
