/** What the API needs from outside; `main/` gives it. */
import type { Router } from 'express';
import type { Logger } from 'pino';
import type { ContextCache } from '../cache/contract.ts';
import type { Clock } from '../domain/clock.ts';
import type { Caller } from '../domain/context.ts';
import type { IdSource, TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import type { Link } from '../domain/link.ts';
import type { Store } from '../store/contract.ts';
import type { z } from 'zod';
import type { Scope } from './call.ts';
import type { doctorReportSchema } from './schemas/doctor.ts';
import type { TimeLimits } from './time-limits.ts';

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
  /**
   * Proof that such a link does not lead back to itself, as far as its remote answers soon.
   *
   * @throws AppError LINK_TO_ITSELF
   */
  checkScope(
    tenant: TenantId,
    link: Pick<Link, 'connector' | 'config' | 'scope'>,
  ): void | Promise<void>;
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

/** Bytes one import may have unless the configuration says otherwise: 4 GiB. */
export const MAX_IMPORT_BYTES = 4 * 1024 ** 3;

export interface ApiLimits {
  /** Compact JSON bytes of one context's data; the store enforces it. */
  readonly maxContextBytes: number;
  /** Bytes of an import, unpacked. Default: {@link MAX_IMPORT_BYTES}. */
  readonly maxImportBytes?: number;
  readonly rateLimit: {
    readonly enabled: boolean;
    readonly max: number;
    readonly windowMs: number;
    /** Redis, so that several processes count together; missing: each counts alone. */
    readonly shared?: {
      /** Of the keys there; one per installation. */
      readonly prefix: string;
      /** Sends one command. */
      readonly send: (...command: string[]) => Promise<unknown>;
    };
  };
  /** Default: {@link TIME_LIMITS}. */
  readonly time?: TimeLimits;
}

export type MeasuredMethod =
  'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD' | 'OPTIONS' | 'OTHER';

/** One answer, as it is measured. */
export interface MeasuredAnswer {
  /** The template of a route, like `/api/context/get/:key`, or `unmatched`; never a raw path. */
  readonly route: string;
  /** Id of the call in the contract; null: none matched. */
  readonly call: string | null;
  readonly method: MeasuredMethod;
  /** 499: the caller went away before an answer began. */
  readonly status: number;
  readonly seconds: number;
}

/** What the WebSocket server tells of itself. Nothing here takes a key, an id or a tenant. */
export interface SocketMeasures {
  /** A connection was opened (1) or closed (-1). */
  connection(change: 1 | -1): void;
  /** Subscriptions were made (positive) or ended (negative). */
  subscriptions(change: number): void;
  /** Messages went out. */
  sent(messages: number): void;
  /** A consumer fell behind and was told to `resync`. */
  resynced(): void;
  /** A connection was refused. */
  refused(reason: 'auth' | 'origin' | 'limit'): void;
}

/** Where the API tells what it does; `main/` counts it. No method throws. */
export interface ApiMeasures {
  requestBegan(): void;
  requestEnded(answer: MeasuredAnswer): void;
  readonly sockets: SocketMeasures;
  /** Numbers that `/metrics` should have told could not be read. */
  unread(of: string): void;
  /** This process' numbers in Prometheus' text format, for `GET /metrics`. */
  text(): Promise<string>;
}

export interface ApiDeps {
  readonly store: Store;
  /** Missing: every read asks the store. */
  readonly cache?: ContextCache;
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
  /** Makes API keys. Default: 256 random bits. */
  readonly newApiKey?: () => string;
  /** Origins whose pages may call, exactly as browsers send them. Default: none. */
  readonly corsOrigins?: readonly string[];
  /** Proxies whose `X-Forwarded-For` is believed: how many, or their addresses. Default: none. */
  readonly trustProxy?: number | readonly string[];
  /** Missing: nothing is measured, and `/metrics` tells of links only. */
  readonly measures?: ApiMeasures;
  /** Pages that are left out. Default: none. */
  readonly without?: { readonly docs?: boolean; readonly metrics?: boolean };
  /** Version of the product, for health and the OpenAPI document. */
  readonly version: string;
  /** Pages of others (queues' UI), behind the same door: path and router. */
  readonly extraRouters?: readonly (readonly [path: string, router: Router])[];
}
