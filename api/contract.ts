/**
 * The door of the API: every call with its schemas, the single source for validation, OpenAPI, the
 * docs page and the client's types.
 */
import { z } from 'zod';
import type { ErrorCode } from '../domain/errors.ts';
import type { Json, JsonObject } from '../domain/json.ts';
import type { Call } from './call.ts';
import { CONTEXT_CALLS } from './schemas/context-calls.ts';
import type * as c from './schemas/contexts.ts';
import { SYNC_CALLS } from './schemas/sync-calls.ts';
import type * as d from './schemas/doctor.ts';
import type * as k from './schemas/conflicts.ts';
import type * as p from './schemas/plans.ts';
import type * as s from './schemas/sync.ts';

export { CONTEXT_CALLS, SYNC_CALLS };
export type { Json, JsonObject };
export type { Call, Method, Scope } from './call.ts';
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
  ...Object.values(SYNC_CALLS),
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
export type WriteOutcome = z.output<typeof k.waitedSchema>;
export interface Page<Row> {
  readonly items: readonly Row[];
  readonly nextCursor: string | null;
}
