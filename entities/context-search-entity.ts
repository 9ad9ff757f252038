/** Table `context_search`. */
import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { ContextKey, TenantId } from '../domain/ids.ts';

/** What search knows of a live context; it can be made anew from the context at any time. */
@Entity({ name: 'context_search', schema: 'context_system' })
@Index('context_search_recent', { synchronize: false })
@Index('context_search_sample', { synchronize: false })
@Index('context_search_words', { synchronize: false })
export class ContextSearchEntity {
  @PrimaryColumn({
    name: 'tenant_id',
    type: 'text',
    primaryKeyConstraintName: 'context_search_pkey',
  })
  tenantId!: TenantId;

  @PrimaryColumn({ type: 'text', collation: 'C', primaryKeyConstraintName: 'context_search_pkey' })
  key!: ContextKey;

  @Column({ type: 'integer' })
  version!: number;

  /** Words by weight: A key, B tags, C metadata and text, D names of members. */
  @Column({ type: 'tsvector' })
  words!: string;

  /** Tenant, session, agent, kind, tags and prefixes of the key. */
  @Column({ type: 'text', array: true })
  facets!: string[];

  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;

  /** A hash of the key: the lowest are a fair sample. */
  @Column({ type: 'integer' })
  sample!: number;
}
