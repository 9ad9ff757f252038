/** The published client, `syncline/client`. */
export { ContextClient } from './context-client.ts';
export type { ChangesQuery, ClientOptions, ListQuery } from './context-client.ts';
export type { ExportOptions, ImportOptions, TransferCalls } from './transfer-calls.ts';
export type { DoctorCalls } from './doctor-calls.ts';
export type { AuditLogCalls, KeyCalls, OfTenant, TenantCalls } from './admin-calls.ts';
export type { EncryptionCalls } from './encryption-calls.ts';
export { JsonText, jsonText } from './json-text.ts';
export { ENDING_CODES } from './live-connection.ts';
export type { ClientEvents, ContextChange, ContextFilter, Subscription } from './live-feed.ts';
export { getContext, storeContext, updateContext } from './quick.ts';
export { SyncError } from './sync-error.ts';
export type { ClientErrorCode } from './sync-error.ts';
export type {
  ConflictCalls,
  LinkCalls,
  OpsQuery,
  PageQuery,
  PlanOptions,
  RunCalls,
  WaitOptions,
} from './sync-calls.ts';
export type {
  ApiKey,
  AuditRow,
  MadeApiKey,
  NewApiKey,
  NewTenant,
  Tenant,
  TenantRemoval,
  Analytics,
  AnalyticsQuery,
  AwaitedWrite,
  BatchOperation,
  BatchResult,
  BulkResolution,
  BulkResult,
  Change,
  ChangePage,
  Conflict,
  ConnectorRow,
  Context,
  ContextDiff,
  ContextEnvelope,
  Deleted,
  DoctorFinding,
  DoctorRepair,
  DoctorReport,
  Health,
  ImportResult,
  Json,
  JsonObject,
  Link,
  LinkPatch,
  LinkStatus,
  NewLink,
  Page,
  QuarantineChange,
  QuarantineChoice,
  QuarantinedItem,
  Resolution,
  Rotation,
  Rollback,
  Run,
  SearchAnswer,
  SearchHit,
  SearchOptions,
  Plan,
  RunOp,
  StartedRun,
  StoreOptions,
  UpdateOptions,
  VersionRow,
  WriteOutcome,
} from '../api/contract.ts';
