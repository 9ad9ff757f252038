/** All tables as TypeORM sees them: for migrations' proof and administration; hot paths use SQL. */
import { ApiKeyEntity } from './api-key-entity.ts';
import { AuditEntity } from './audit-entity.ts';
import { BlobEntity } from './blob-entity.ts';
import { ChangeEntity } from './change-entity.ts';
import { ContextEntity } from './context-entity.ts';
import { ContextSearchEntity } from './context-search-entity.ts';
import { ContextVersionEntity } from './context-version-entity.ts';
import { EncryptionKeyEntity } from './encryption-key-entity.ts';
import { FeedHorizonEntity } from './feed-horizon-entity.ts';
import { IdempotencyKeyEntity } from './idempotency-key-entity.ts';
import { OutboxEntity } from './outbox-entity.ts';
import { SearchPendingEntity } from './search-pending-entity.ts';
import { SyncConflictEntity } from './sync-conflict-entity.ts';
import { SyncItemEntity } from './sync-item-entity.ts';
import { SyncLinkEntity } from './sync-link-entity.ts';
import { SyncOpEntity } from './sync-op-entity.ts';
import { SyncRunEntity } from './sync-run-entity.ts';
import { TenantEntity } from './tenant-entity.ts';

export { XID8 } from './xid8.ts';

/** One entity per table, in the order of the migrations. */
export const ENTITIES = [
  TenantEntity,
  ApiKeyEntity,
  AuditEntity,
  BlobEntity,
  ContextEntity,
  ContextVersionEntity,
  ChangeEntity,
  OutboxEntity,
  SyncLinkEntity,
  SyncItemEntity,
  SyncRunEntity,
  SyncOpEntity,
  SyncConflictEntity,
  IdempotencyKeyEntity,
  FeedHorizonEntity,
  EncryptionKeyEntity,
  ContextSearchEntity,
  SearchPendingEntity,
] as const;
