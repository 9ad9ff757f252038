/**
 * `hub`: another Syncline over its own REST API. Grade A: it checks versions, remembers op ids, and
 * its change feed tells deletes. An item is a context, whatever its kind; docs/hub-link.md says
 * what travels with it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, toAppError } from '../../domain/errors.ts';
import type { Json } from '../../domain/json.ts';
import type { Connector, ConnectorCapabilities, ConnectorType, OpenContext } from '../connector.ts';
import { checkRemoteHost } from '../remote-host.ts';
import { applyToHub } from './apply-hub.ts';
import { createHubApi } from './hub-api.ts';
import { createFarSideCheck } from './not-itself.ts';
import { hubConfigSchema, type HubConfig } from './hub-config.ts';
import { lapsedItems, observeHub, readItems, type HubSide } from './observe-hub.ts';
import { createOwnWrites } from './own-writes.ts';
import { watchHub } from './watch-hub.ts';

export type { HubConfig } from './hub-config.ts';

export const HUB_CAPABILITIES: ConnectorCapabilities = {
  grade: 'A',
  deletes: 'feed',
  canWatch: true,
  hasStableIds: true,
  kinds: 'any',
  identity: 'key',
  // Small, so that a remote that says "too many requests" undoes little.
  maxBatch: 100,
};

const DEFAULT_TIMEOUT_MS = 30_000;

export interface HubDeps {
  /** Longest wait for one answer, ms. */
  readonly timeoutMs: number;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

const DEFAULT_DEPS: HubDeps = {
  timeoutMs: DEFAULT_TIMEOUT_MS,
  wait: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
};

/** The connector type with other time limits; {@link hub} is the usual one. */
export function createHub(deps: Partial<HubDeps> = {}): ConnectorType<HubConfig, Json> {
  const all = { ...DEFAULT_DEPS, ...deps };
  return {
    kind: 'hub',
    title: 'Another Syncline',
    configSchema: hubConfigSchema,
    capabilities: HUB_CAPABILITIES,
    version: 1,
    checkAllowed: ({ url }, permissions) => checkRemoteHost(url, permissions),
    async checkScope(config, context) {
      try {
        await checkFarSide(sideOf(config, context, all), context.signal);
      } catch (error) {
        if (toAppError(error).code === 'LINK_TO_ITSELF') throw error;
      }
    },
    open: (config, context) => openHub(config, context, all),
  };
}

/** The connector type registered under `hub`. */
export const hub: ConnectorType<HubConfig, Json> = createHub();

async function openHub(
  config: HubConfig,
  context: OpenContext,
  deps: HubDeps,
): Promise<Connector<Json>> {
  const side = sideOf(config, context, deps);
  await checkFarSide(side, context.signal);
  return createConnector(side, { ...deps, log: context.log });
}

function sideOf(config: HubConfig, context: OpenContext, { timeoutMs }: HubDeps): HubSide {
  checkRemoteHost(config.url, context.permissions);
  const api = createHubApi({
    url: config.url.replace(/\/+$/, ''),
    apiKey: config.apiKey ? context.secret(config.apiKey.env) : null,
    timeoutMs,
  });
  const { prefix = '', ownHubId } = context;
  const remotePrefix = config.prefix ?? prefix;
  const checkFarSide = createFarSideCheck({ prefix, remotePrefix, ownHubId });
  return { api, prefix: remotePrefix, own: createOwnWrites(), checkFarSide };
}

/** The far side answers, and is not this one. */
async function checkFarSide(side: HubSide, signal?: AbortSignal): Promise<void> {
  const { hubId } = await side.api.health(signal);
  await side.checkFarSide(hubId);
}

function createConnector(
  side: HubSide,
  deps: HubDeps & { readonly log: OpenContext['log'] },
): Connector<Json> {
  const watches = new Set<() => Promise<void>>();
  let isClosed = false;
  const open = (): HubSide => {
    if (isClosed) throw new AppError('CONNECTOR_UNREACHABLE', 'the conversation was closed');
    return side;
  };
  return {
    capabilities: HUB_CAPABILITIES,
    probe: async (signal) => checkFarSide(open(), signal),
    observe: async (request) => observeHub(open(), request),
    read: async (ids, signal) => readItems(open(), ids, signal),
    lapsed: async (ids, signal) => lapsedItems(open(), ids, signal),
    apply: async (ops, signal) => applyToHub(open(), ops, signal),
    async watch(onHint) {
      const end = await watchHub({ ...open(), ...deps }, onHint);
      watches.add(end);
      return async () => {
        watches.delete(end);
        await end();
      };
    },
    async close() {
      isClosed = true;
      await Promise.all([...watches].map((end) => end()));
    },
  };
}
