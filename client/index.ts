/** The published client, `syncline/client`. */
export { ContextClient } from './context-client.ts';
export type { ChangesQuery, ClientOptions, ListQuery } from './context-client.ts';
export { JsonText, jsonText } from './json-text.ts';
export { SyncError } from './sync-error.ts';
export type { ClientErrorCode } from './sync-error.ts';
export type { ConflictCalls, LinkCalls, PageQuery, RunCalls, WaitOptions } from './sync-calls.ts';
export type {
  Change,
  ChangePage,
  Conflict,
  ConnectorRow,
  Context,
  ContextEnvelope,
  Deleted,
  Health,
  Json,
  JsonObject,
  Link,
  LinkPatch,
  LinkStatus,
  NewLink,
  Page,
  QuarantinedItem,
  Resolution,
  Run,
  RunOp,
  StartedRun,
  StoreOptions,
  UpdateOptions,
  VersionRow,
} from '../api/contract.ts';
