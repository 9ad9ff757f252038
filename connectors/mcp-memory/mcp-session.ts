/**
 * A conversation with one MCP server that heals itself: a server that went away is started (or
 * reached) again at the next call. A call that ends without an answer ends the session too, because
 * its write might still be under way, and two overlapping calls lose writes.
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  CallToolResultSchema,
  ErrorCode,
  ListToolsResultSchema,
  McpError,
  ResourceUpdatedNotificationSchema,
  type CallToolResult,
} from '@modelcontextprotocol/sdk/types.js';
import { AppError, messageOf } from '../../domain/errors.ts';
import type { ConnectorLog } from '../connector.ts';

/** A fresh way to the server; `kill` ends it at once, without the server's cooperation. */
export interface ServerTransport {
  readonly transport: Transport;
  kill(): void;
}

export interface McpSessionOptions {
  /** What the server is called in errors, without secrets. */
  readonly serverName: string;
  readonly createTransport: () => ServerTransport;
  /** Tools without which this is not the server we speak to. */
  readonly requiredTools: readonly string[];
  /** Resource whose updates are worth a hint. */
  readonly resourceUri: string;
  /** Longest time one call may take, in ms. */
  readonly callTimeoutMs: number;
  readonly log: ConnectorLog;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** A call that changes nothing is made once more when the server turns out to be gone. */
  readonly isRead?: boolean;
}

export interface McpSession {
  /** @throws AppError CONNECTOR_UNREACHABLE when there is no answer; a refusal is an answer */
  call(tool: string, args: Record<string, unknown>, options?: CallOptions): Promise<CallToolResult>;
  /** Text of the watched resource, or null when the server has none. */
  readResource(signal?: AbortSignal): Promise<string | null>;
  ping(signal?: AbortSignal): Promise<void>;
  /** Calls back when the server says the resource changed; returns how to stop. */
  onUpdated(listener: () => void): () => void;
  close(): Promise<void>;
}

interface Connection extends ServerTransport {
  readonly client: Client;
  isSubscribed: boolean;
}

/** A session that connects at its first call. */
export function createMcpSession(options: McpSessionOptions): McpSession {
  const listeners = new Set<() => void>();
  let connection: Connection | null = null;
  let closed = false;
  const isClosed = (): boolean => closed;

  async function connected(signal?: AbortSignal): Promise<Connection> {
    if (isClosed()) throw unreachable(options, 'the connector is closed');
    connection ??= await connect(options, signal, (gone) => {
      if (connection?.client === gone) connection = null;
    });
    // Closed while we were connecting: nobody else would end that server.
    if (isClosed()) {
      giveUp();
      throw unreachable(options, 'the connector is closed');
    }
    if (listeners.size > 0 && !connection.isSubscribed) await subscribe(connection, signal);
    return connection;
  }

  async function subscribe(to: Connection, signal?: AbortSignal): Promise<void> {
    to.isSubscribed = true;
    if (!to.client.getServerCapabilities()?.resources?.subscribe) return;
    to.client.setNotificationHandler(ResourceUpdatedNotificationSchema, () => {
      for (const listener of listeners) listener();
    });
    await to.client
      .subscribeResource({ uri: options.resourceUri }, requestOptions(signal))
      .catch(ignoreAnswer);
  }

  function requestOptions(signal?: AbortSignal): { timeout: number; signal?: AbortSignal } {
    // The SDK never takes its listener off a signal: each request gets a signal of its own.
    return { timeout: options.callTimeoutMs, ...(signal && { signal: AbortSignal.any([signal]) }) };
  }

  /** Sends one request; without an answer the connection is given up at once. */
  async function ask<Answer>(
    send: (client: Client) => Promise<Answer>,
    { signal, isRead = false }: CallOptions,
  ): Promise<Answer> {
    const wasConnected = connection !== null;
    try {
      const { client } = await connected(signal);
      return await send(client);
    } catch (cause) {
      if (isAnswer(cause)) throw cause;
      giveUp();
      if (isRead && wasConnected && isGone(cause)) return ask(send, { signal });
      throw cause instanceof AppError ? cause : unreachable(options, messageOf(cause), cause);
    }
  }

  function giveUp(): void {
    const lost = connection;
    connection = null;
    lost?.kill();
  }

  return {
    call: (tool, args, callOptions = {}) =>
      ask(
        // Not client.callTool: it would check the answer again against the server's own schema.
        (client) =>
          client.request(
            { method: 'tools/call', params: { name: tool, arguments: args } },
            CallToolResultSchema,
            requestOptions(callOptions.signal),
          ),
        callOptions,
      ).catch(asRefusal),
    readResource: (signal) =>
      ask(
        async (client) => {
          if (!client.getServerCapabilities()?.resources) return null;
          const uri = options.resourceUri;
          const { contents } = await client.readResource({ uri }, requestOptions(signal));
          const [first] = contents;
          return first && 'text' in first && typeof first.text === 'string' ? first.text : null;
        },
        { signal, isRead: true },
      ).catch((thrown: unknown) => {
        if (isAnswer(thrown)) return null;
        throw thrown;
      }),
    ping: (signal) =>
      ask((client) => client.ping(requestOptions(signal)), { signal, isRead: true })
        .then(() => undefined)
        .catch(ignoreAnswer),
    onUpdated(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async close() {
      closed = true;
      const last = connection;
      connection = null;
      await last?.client.close();
    },
  };
}

async function connect(
  options: McpSessionOptions,
  signal: AbortSignal | undefined,
  onGone: (client: Client) => void,
): Promise<Connection> {
  const way = options.createTransport();
  const client = new Client({ name: 'syncline', version: '1' });
  client.onclose = () => onGone(client);
  client.onerror = (error) =>
    options.log.debug({ server: options.serverName, error: error.name }, 'MCP transport error');
  const request = { timeout: options.callTimeoutMs, ...(signal && { signal }) };
  try {
    await client.connect(way.transport, request);
    const { tools } = await client.request(
      { method: 'tools/list' },
      ListToolsResultSchema,
      request,
    );
    const missing = options.requiredTools.filter((name) => !tools.some((t) => t.name === name));
    if (missing.length > 0) throw new Error(`it has no tool ${missing.join(', ')}`);
  } catch (cause) {
    way.kill();
    await client.close().catch(() => undefined);
    throw cause instanceof AppError ? cause : unreachable(options, messageOf(cause), cause);
  }
  return { ...way, client, isSubscribed: false };
}

/** JSON-RPC errors the server itself sent: it is alive, and the call is over. */
function isAnswer(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === 'number' && code <= -32600 && code >= -32700;
}

/** A protocol error is a refusal like any other; its words stay here, they may quote the remote. */
function asRefusal(thrown: unknown): CallToolResult {
  if (isAnswer(thrown)) return { content: [], isError: true };
  throw thrown;
}

function ignoreAnswer(thrown: unknown): void {
  if (!isAnswer(thrown)) throw thrown;
}

/** The server went away (as opposed to: was too slow, or the caller gave up). */
function isGone(thrown: unknown): boolean {
  if (thrown instanceof AppError) return false;
  const timedOut: number = ErrorCode.RequestTimeout;
  return !(thrown instanceof McpError && thrown.code === timedOut);
}

function unreachable(options: McpSessionOptions, why: string, cause?: unknown): AppError {
  return new AppError('CONNECTOR_UNREACHABLE', `${options.serverName} cannot be reached: ${why}`, {
    retryable: true,
    cause,
  });
}
