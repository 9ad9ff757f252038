/**
 * The door of the API: every call with its schemas, the single source for validation, OpenAPI, the
 * docs page and the client's types.
 */
import { z } from 'zod';
import type { ErrorCode } from '../domain/errors.ts';
import type { Json, JsonObject } from '../domain/json.ts';
import type { Call } from './call.ts';
import type * as access from './schemas/admin.ts';
import { ADMIN_CALLS } from './schemas/admin-calls.ts';
import { ENCRYPTION_CALLS } from './schemas/encryption-calls.ts';
import type * as e from './schemas/encryption.ts';
import { CONTEXT_CALLS } from './schemas/context-calls.ts';
import type * as n from './schemas/analytics.ts';
import type * as b from './schemas/batch.ts';
import type * as c from './schemas/contexts.ts';
import type * as h from './schemas/history.ts';
import { SEARCH_CALLS } from './schemas/search-calls.ts';
import type * as f from './schemas/search.ts';
import { SYNC_CALLS } from './schemas/sync-calls.ts';
import { TRANSFER_CALLS } from './schemas/transfer-calls.ts';
import type * as t from './schemas/transfer.ts';
import type * as d from './schemas/doctor.ts';
import type * as k from './schemas/conflicts.ts';
import type * as p from './schemas/plans.ts';
import type * as s from './schemas/sync.ts';

export { ADMIN_CALLS, CONTEXT_CALLS, ENCRYPTION_CALLS, SEARCH_CALLS, SYNC_CALLS, TRANSFER_CALLS };
export type { Json, JsonObject };
export { SCOPES, type Call, type Method, type Scope } from './call.ts';
export type {
  ApiDeps,
  CallerOfKey,
  ConnectorCatalog,
  ConnectorInfo,
  Doctor,
  HealthCheck,
} from './ports.ts';

/** Every call, in the order of the docs page. */
export const CALLS: readonly Call[] = [
  ...Object.values(CONTEXT_CALLS),
  ...Object.values(TRANSFER_CALLS),
  ...Object.values(SEARCH_CALLS),
  ...Object.values(SYNC_CALLS),
  ...Object.values(ADMIN_CALLS),
  ...Object.values(ENCRYPTION_CALLS),
];

/** The body of every error answer (RFC 9457, `application/problem+json`). */
export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string().meta({ description: 'One of the codes on the errors page.' }),
    detail: z.string(),
    requestId: z.string(),
    errors: z
      .array(z.object({ pointer: z.string(), detail: z.string() }))
      .readonly()
      .optional()
      .meta({ description: 'Each bad field, as a JSON pointer.' }),
  })
  .meta({ id: 'Problem' });

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly requestId: string;
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
  readonly [member: string]: unknown;
}

/** What callers send and get; the client's types. */
export type StoreOptions = z.input<typeof c.storeOptionsSchema>;
export type UpdateOptions = z.input<typeof c.updateOptionsSchema>;
export type ContextEnvelope = z.output<typeof c.envelopeSchema>;
export type Context = z.output<typeof c.contextSchema>;
export type Deleted = z.output<typeof c.deletedSchema>;
export type VersionRow = z.output<typeof c.versionRowSchema>;
export type ContextDiff = z.output<typeof h.diffSchema>;
export type Rollback = z.input<typeof h.rollbackBodySchema>;
export type BatchOperation = z.input<typeof b.batchOperationSchema>;
export type BatchResult = z.output<typeof b.batchResultSchema>;
export type AnalyticsQuery = z.input<typeof n.analyticsQuery>;
export type Analytics = z.output<typeof n.analyticsSchema>;
export type SearchOptions = NonNullable<z.input<typeof f.searchBodySchema>['options']>;
export type SearchHit = z.output<typeof f.searchHitSchema>;
export type SearchAnswer = z.output<typeof f.searchAnswerSchema>;
export type ImportResult = z.output<typeof t.importResultSchema>;
export type Change = z.output<typeof c.changeSchema>;
export type ChangePage = z.output<typeof c.changesSchema>;
export type Health = z.output<typeof c.healthSchema>;
export type ConnectorRow = z.output<typeof s.connectorSchema>;
export type NewLink = z.input<typeof s.newLinkSchema>;
export type LinkPatch = z.input<typeof s.linkPatchSchema>;
export type Link = z.output<typeof s.linkSchema>;
export type LinkStatus = z.output<typeof s.linkStatusSchema>;
export type QuarantinedItem = z.output<typeof s.quarantinedItemSchema>;
export type QuarantineChoice = z.input<typeof s.quarantineChoiceSchema>;
export type QuarantineChange = z.output<typeof s.quarantineChangeSchema>;
export type RemovedLink = z.output<typeof s.removedLinkSchema>;
export type StartedRun = z.output<typeof s.startedRunSchema>;
export type Run = z.output<typeof s.runSchema>;
export type RunOp = z.output<typeof s.runOpSchema>;
export type Plan = z.output<typeof p.planSchema>;
export type Conflict = z.output<typeof k.conflictSchema>;
export type Resolution = z.input<typeof k.resolveSchema>;
export type BulkResolution = z.input<typeof k.bulkResolveSchema>;
export type BulkResult = z.output<typeof k.bulkResultSchema>;
export type DoctorReport = z.output<typeof d.doctorReportSchema>;
export type DoctorFinding = z.output<typeof d.findingSchema>;
export type DoctorRepair = z.output<typeof d.repairSchema>;
export type AwaitedWrite = z.input<typeof k.waitSchema>;
export type Rotation = z.output<typeof e.rotationSchema>;
export type ApiKey = z.output<typeof access.apiKeySchema>;
export type NewApiKey = z.input<typeof access.newKeySchema>;
export type MadeApiKey = z.output<typeof access.madeKeySchema>;
export type Tenant = z.output<typeof access.tenantRowSchema>;
export type NewTenant = z.input<typeof access.newTenantSchema>;
export type TenantRemoval = z.output<typeof access.tenantRemovalSchema>;
export type AuditRow = z.output<typeof access.auditRowSchema>;
export type WriteOutcome = z.output<typeof k.waitedSchema>;
export interface Page<Row> {
  readonly items: readonly Row[];
  readonly nextCursor: string | null;
}
