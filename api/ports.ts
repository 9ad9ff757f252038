/** What the API needs from outside; `main/` gives it. */
import type { Router } from 'express';
import type { Logger } from 'pino';
import type { Clock } from '../domain/clock.ts';
import type { Caller } from '../domain/context.ts';
import type { IdSource, TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import type { Store } from '../store/contract.ts';
import type { z } from 'zod';
import type { Scope } from './call.ts';
import type { doctorReportSchema } from './schemas/doctor.ts';

/** One kind of remote, as `GET /api/sync/connectors` shows it. */
export interface ConnectorInfo {
  readonly kind: string;
  readonly title: string;
  /** JSON Schema of the link's `config`. */
  readonly configSchema: JsonObject;
  readonly capabilities: JsonObject;
  readonly grade: 'A' | 'B' | 'C';
  /** What the grade guarantees, in plain words. */
  readonly guarantee: string;
}

export interface ConnectorCatalog {
  list(): readonly ConnectorInfo[];
  /**
   * Proof that a link of this kind may be opened with this config; opens nothing.
   *
   * @throws AppError VALIDATION (unknown kind, bad config), CONNECTOR_NOT_ALLOWED
   */
  check(kind: string, config: JsonObject): void | Promise<void>;
}

/** Resolves when the server answers; rejects with why it does not. */
export type HealthCheck = () => Promise<void>;

/** Looks for whatever is stuck. Neither call throws: what cannot be examined is a finding. */
export interface Doctor {
  examine(caller: Caller): Promise<z.output<typeof doctorReportSchema>>;
  /** Repairs what is safe, then examines again. */
  repair(caller: Caller): Promise<z.output<typeof doctorReportSchema>>;
}

/** Whom an api key belongs to. */
export interface CallerOfKey {
  readonly tenant: TenantId;
  readonly name: string;
  readonly scopes: readonly Scope[];
}

export type AuthConfig =
  /** Loopback only: everybody is tenant `default` with all scopes. */
  | { readonly mode: 'off' }
  | { readonly mode: 'keys'; readonly lookup: (key: string) => Promise<CallerOfKey | null> };

export interface ApiLimits {
  /** Compact JSON bytes of one context's data; the store enforces it. */
  readonly maxContextBytes: number;
  readonly rateLimit: {
    readonly enabled: boolean;
    readonly max: number;
    readonly windowMs: number;
  };
}

export interface ApiDeps {
  readonly store: Store;
  readonly connectors: ConnectorCatalog;
  readonly doctor: Doctor;
  readonly checks: Readonly<Record<'postgres' | 'redis' | 'temporal' | 'queues', HealthCheck>>;
  /** Where an operator sees a workflow, or null when there is no UI. */
  readonly temporalUrl: (workflowId: string) => string | null;
  /** Resolves when the tenant may have new changes, after `timeoutMs`, or when aborted. */
  readonly waitForChange: (
    tenant: TenantId,
    timeoutMs: number,
    signal: AbortSignal,
  ) => Promise<void>;
  /** The same for what passes decide about items. */
  readonly waitForSettling: ApiDeps['waitForChange'];
  readonly log: Logger;
  readonly clock: Clock;
  /** Makes request ids. Default: UUIDs. */
  readonly ids?: IdSource;
  readonly auth: AuthConfig;
  readonly limits: ApiLimits;
  /** Version of the product, for health and the OpenAPI document. */
  readonly version: string;
  /** Pages of others (queues' UI), behind the same door: path and router. */
  readonly extraRouters?: readonly (readonly [path: string, router: Router])[];
}
