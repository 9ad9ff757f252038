/**
 * `mcp-memory`: the knowledge graph of an MCP memory server, over stdio or HTTP. Grade C: the
 * server has no versions and no compare-and-set, so we look before each write and again after it.
 * Promises: one call at a time, one writing Syncline per known file, differences instead of whole
 * items. Refuses: to write the memory file itself.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock, type Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/errors.ts';
import type {
  ApplyOutcome,
  Connector,
  ConnectorCapabilities,
  ConnectorLog,
  ConnectorType,
  ObservePage,
  ObserveRequest,
  OpenContext,
  RemoteOp,
} from '../connector.ts';
import { applyOps, leaseBusy } from './apply-ops.ts';
import {
  checkMcpMemoryAllowed,
  mcpMemoryConfigSchema,
  memoryFileOf,
  type McpMemoryConfig,
} from './mcp-memory-config.ts';
import { createMcpSession, type McpSession } from './mcp-session.ts';
import { checkFolder, checkRealFile, watchFile } from './memory-file.ts';
import { entryOf } from './memory-graph.ts';
import {
  createMemoryServer,
  GRAPH_URI,
  REQUIRED_TOOLS,
  type MemoryServer,
} from './memory-server.ts';
import { createSerialQueue, type SerialQueue } from '../serial-queue.ts';
import { createServerTransport, serverNameOf } from './server-transport.ts';
import { NO_LEASE, takeWriterLease, type WriterLease } from './writer-lease.ts';

export type { McpMemoryConfig } from './mcp-memory-config.ts';

export const MCP_MEMORY_CAPABILITIES: ConnectorCapabilities = {
  grade: 'C',
  deletes: 'scan',
  canWatch: true,
  hasStableIds: false,
  kinds: ['memory'],
  maxBatch: 1000,
};

/** Up to this many names are asked for by name; beyond, reading the whole graph is cheaper. */
const MAX_NAMES_ASKED = 50;
/** Events closer together than this are one hint. */
const HINT_DEBOUNCE_MS = 5;

export interface McpMemoryDeps {
  /** A number from 0 up to but not 1; spreads retries. */
  readonly random: () => number;
  readonly wait: (ms: number) => Promise<void>;
  /** Only for how long calls take. */
  readonly clock: Clock;
  /** Longest time one call to the server may take, in ms. */
  readonly callTimeoutMs: number;
}

const DEFAULT_DEPS: McpMemoryDeps = {
  random: Math.random,
  wait: (ms) => delay(ms),
  clock: systemClock,
  callTimeoutMs: 30_000,
};

/** The connector type with other time limits or randomness; {@link mcpMemory} is the usual one. */
export function createMcpMemory(deps: Partial<McpMemoryDeps> = {}): ConnectorType<McpMemoryConfig> {
  const all = { ...DEFAULT_DEPS, ...deps };
  return {
    kind: 'mcp-memory',
    title: 'MCP memory server',
    configSchema: mcpMemoryConfigSchema,
    capabilities: MCP_MEMORY_CAPABILITIES,
    version: 1,
    checkAllowed: checkMcpMemoryAllowed,
    open: (config, context) => openMcpMemory(config, context, all),
  };
}

/** The connector type registered under `mcp-memory`. */
export const mcpMemory: ConnectorType<McpMemoryConfig> = createMcpMemory();

async function openMcpMemory(
  config: McpMemoryConfig,
  context: OpenContext,
  deps: McpMemoryDeps,
): Promise<Connector> {
  checkMcpMemoryAllowed(config, context.permissions);
  const file = memoryFileOf(config);
  const checkFile = async (): Promise<void> => {
    if (!file) return;
    await checkFolder(file);
    await checkRealFile(file, context.permissions);
  };
  await checkFile();
  const session = createMcpSession({
    serverName: serverNameOf(config),
    createTransport: createServerTransport(config, context),
    requiredTools: REQUIRED_TOOLS,
    resourceUri: GRAPH_URI,
    callTimeoutMs: deps.callTimeoutMs,
    log: context.log,
  });
  await session.ping(context.signal);
  return createConnector({ session, file, checkFile, log: context.log, deps });
}

interface Opened {
  readonly session: McpSession;
  readonly file: string | null;
  /** Before every call: links may have been laid since. @throws AppError CONNECTOR_UNREACHABLE, PATH_ESCAPES_ROOT */
  readonly checkFile: () => Promise<void>;
  readonly log: ConnectorLog;
  readonly deps: McpMemoryDeps;
}

function createConnector(opened: Opened): Connector {
  const { session, file, checkFile, log, deps } = opened;
  const server = createMemoryServer(session, file, checkFile);
  const inTurn = createSerialQueue();
  const takeLease = () => (file ? takeWriterLease(file, log) : Promise.resolve(NO_LEASE));

  async function apply(ops: readonly RemoteOp[], signal?: AbortSignal): Promise<ApplyOutcome[]> {
    if (ops.length === 0) return [];
    await checkFile();
    const lease = await takeLease().catch(asBusy);
    if (lease instanceof AppError) return leaseBusy(ops, lease);
    try {
      const { assertHeld: assertLeaseHeld } = lease;
      return await applyOps({ ...deps, server, assertLeaseHeld, signal }, ops);
    } finally {
      await lease.release();
    }
  }

  return {
    capabilities: MCP_MEMORY_CAPABILITIES,
    probe: (signal) =>
      inTurn(async () => {
        await checkFile();
        await session.ping(signal);
      }),
    observe: (request) => inTurn(() => observe(server, request)),
    read: (remoteIds, signal) =>
      inTurn(async () => {
        const isFew = remoteIds.length <= MAX_NAMES_ASKED;
        const graph = await (isFew
          ? server.readNodes(remoteIds, signal)
          : server.readGraph(signal));
        return remoteIds.map((id) => entryOf(graph, id));
      }),
    apply: (ops, signal) => inTurn(() => apply(ops, signal)),
    watch: (onHint) => watch(opened, onHint, inTurn),
    // Not in turn: closing ends what is under way.
    close: () => session.close(),
  };
}

async function observe(server: MemoryServer, request: ObserveRequest): Promise<ObservePage> {
  const { entries, cursor } = await server.readGraph(request.signal);
  const { since, isDoubted, isWhole } = request;
  const isUnchanged = since === cursor && !isDoubted && !isWhole;
  return {
    mode: isUnchanged ? 'unchanged' : 'scan',
    entries: isUnchanged ? [] : [...entries.values()],
    nextPage: null,
    cursor,
    isComplete: true,
  };
}

/**
 * The server tells of its own writes only, the folder of everything that reaches the file; neither
 * is certain, so polling stays the net.
 */
async function watch(
  { session, file, log }: Opened,
  onHint: () => void,
  inTurn: SerialQueue,
): Promise<() => Promise<void>> {
  let timer: NodeJS.Timeout | null = null;
  const hint = () => {
    timer ??= setTimeout(() => {
      timer = null;
      onHint();
    }, HINT_DEBOUNCE_MS);
  };
  const stopListening = session.onUpdated(hint);
  const stopWatching = file ? watchFile(file, hint, log) : () => undefined;
  // A call of any kind subscribes; without one the subscription would wait for the next poll.
  await inTurn(() => session.ping()).catch(() => undefined);
  return async () => {
    stopListening();
    stopWatching();
    if (timer) clearTimeout(timer);
  };
}

function asBusy(thrown: unknown): WriterLease | AppError {
  if (thrown instanceof AppError && thrown.code === 'REMOTE_WRITE_RACED') return thrown;
  throw thrown;
}
