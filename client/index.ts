/** The published client, `syncline/client`. */
export { ContextClient } from './context-client.ts';
export type { ChangesQuery, ClientOptions, ListQuery } from './context-client.ts';
export type { DoctorCalls } from './doctor-calls.ts';
export { JsonText, jsonText } from './json-text.ts';
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
  AwaitedWrite,
  BulkResolution,
  BulkResult,
  Change,
  ChangePage,
  Conflict,
  ConnectorRow,
  Context,
  ContextEnvelope,
  Deleted,
  DoctorFinding,
  DoctorRepair,
  DoctorReport,
  Health,
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
  Run,
  Plan,
  RunOp,
  StartedRun,
  StoreOptions,
  UpdateOptions,
  VersionRow,
  WriteOutcome,
} from '../api/contract.ts';
