/** Table `blobs`. */
import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ContextKey, TenantId } from '../domain/ids.ts';
import { EncryptionKeyEntity } from './encryption-key-entity.ts';

/** A body: a plain one once per tenant under the SHA-256 of its canonical JSON, a sealed one per context. */
@Entity({ name: 'blobs', schema: 'context_system' })
@Check('blobs_codec_check', `codec IN ('none', 'gzip')`)
@Check('blobs_sealed_check', '(key_id IS NULL) = (sealed_for IS NULL)')
@ForeignKey(() => EncryptionKeyEntity, ['tenantId', 'keyId'], ['tenantId', 'id'], {
  name: 'blobs_key_fkey',
})
@Index('blobs_key', { synchronize: false })
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

  /** The key that sealed the body; null: it is plain. */
  @Column({ name: 'key_id', type: 'uuid', nullable: true })
  keyId!: string | null;

  /** Key of the context a sealed body belongs to. */
  @Column({ name: 'sealed_for', type: 'text', collation: 'C', nullable: true })
  sealedFor!: ContextKey | null;
}
