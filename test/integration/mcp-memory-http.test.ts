/** The mcp-memory connector over streamable HTTP: a real memory server behind an HTTP bridge. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomUUID } from 'node:crypto';
import {
  StdioClientTransport,
  getDefaultEnvironment,
} from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Connector } from '../../connectors/connector.ts';
import { mcpMemory } from '../../connectors/mcp-memory/mcp-memory.ts';
import { asRemoteId, canonicalMemory } from '../../domain/item.ts';
import { createMemoryWorkspace, type MemoryWorkspace } from '../conformance/memory-workspace.ts';

let workspace: MemoryWorkspace;
let bridge: Bridge;
let connector: Connector | null = null;

beforeEach(async () => {
  workspace = await createMemoryWorkspace();
  bridge = await startBridge(workspace);
});
afterEach(async () => {
  await connector?.close();
  connector = null;
  await bridge.stop();
  await workspace.remove();
});

it('speaks to an address, with its secret in a header', async () => {
  connector = await open();
  const outcomes = await connector.apply([create('A'), create('B')]);
  expect(outcomes.map((outcome) => outcome.status)).toEqual(['applied', 'applied']);
  const seen = await connector.observe({ since: null, page: null });
  expect(seen.entries.map((entry) => entry.remoteId)).toEqual(['A', 'B']);
  expect(bridge.tokens).toEqual(new Set(['Bearer secret-of-MY_TOKEN']));
});

it('hints when the server says that its graph changed', async () => {
  connector = await open();
  let hinted: () => void = () => undefined;
  const hint = new Promise<void>((resolve) => (hinted = resolve));
  const stop = await connector.watch!(hinted);
  await connector.apply([create('A')]);
  await hint;
  await stop();
});

it('starts a new session when the server forgot ours', async () => {
  connector = await open();
  await connector.apply([create('A')]);
  await bridge.forgetSessions();
  const seen = await connector.observe({ since: null, page: null });
  expect(seen.entries.map((entry) => entry.remoteId)).toEqual(['A']);
});

it('passes on how long a busy server asks to be left alone, at its first call and later', async () => {
  connector = await open();
  bridge.busy.retryAfter = '7';
  const told = { code: 'RATE_LIMITED', retryable: true, extra: { retryAfterMs: 7_000 } };
  await expect(connector.observe({ since: null, page: null })).rejects.toMatchObject(told);
  await expect(open()).rejects.toMatchObject(told);
  bridge.busy.retryAfter = null;
  expect((await connector.observe({ since: null, page: null })).isComplete).toBe(true);
});

it('says that the server is out, and goes on when it is back', async () => {
  connector = await open();
  await connector.apply([create('A')]);
  const { port } = bridge;
  await bridge.stop();
  await expect(connector.probe()).rejects.toMatchObject({
    code: 'CONNECTOR_UNREACHABLE',
    retryable: true,
  });
  bridge = await startBridge(workspace, port);
  const seen = await connector.observe({ since: null, page: null });
  expect(seen.entries.map((entry) => entry.remoteId)).toEqual(['A']);
});

async function open(): Promise<Connector> {
  const url = `http://127.0.0.1:${bridge.port}/mcp`;
  const headers = { authorization: { env: 'MY_TOKEN' } };
  const secret = (name: string) => `Bearer secret-of-${name}`;
  return mcpMemory.open({ url, headers }, { ...workspace.context, secret });
}

function create(name: string) {
  return {
    opId: `op-${name}`,
    action: 'create' as const,
    kind: 'memory' as const,
    remoteId: asRemoteId(name),
    value: canonicalMemory({ name, type: 'note', observations: ['x'], relations: [] }),
    expectedVersion: null,
  };
}

interface Bridge {
  readonly port: number;
  /** Authorization headers seen. */
  readonly tokens: Set<string | undefined>;
  /** While set, every request is answered 429. */
  readonly busy: { retryAfter: string | null };
  forgetSessions(): Promise<void>;
  stop(): Promise<void>;
}

interface BridgeSession {
  readonly http: StreamableHTTPServerTransport;
  readonly child: StdioClientTransport;
}

/** One memory server process per HTTP session; messages are passed on as they are. */
async function startBridge(of: MemoryWorkspace, port = 0): Promise<Bridge> {
  const sessions = new Map<string, BridgeSession>();
  const tokens = new Set<string | undefined>();
  const busy: Bridge['busy'] = { retryAfter: null };
  const server: Server = createServer((request, response) => {
    tokens.add(request.headers.authorization);
    if (busy.retryAfter !== null) {
      response.writeHead(429, { 'Retry-After': busy.retryAfter }).end();
      return;
    }
    const id = request.headers['mcp-session-id'];
    const known = typeof id === 'string' ? sessions.get(id) : undefined;
    if (id !== undefined && !known) {
      response.writeHead(404).end();
      return;
    }
    const session = known ?? startSession(of, sessions);
    void session.http.handleRequest(request, response);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const forgetSessions = async () => {
    const all = [...sessions.values()];
    sessions.clear();
    await Promise.all(all.flatMap(({ http, child }) => [http.close(), child.close()]));
  };
  return {
    port: (server.address() as AddressInfo).port,
    tokens,
    busy,
    forgetSessions,
    async stop() {
      await forgetSessions();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function startSession(of: MemoryWorkspace, sessions: Map<string, BridgeSession>): BridgeSession {
  const child = new StdioClientTransport({
    command: of.config.command,
    args: of.config.args ?? [],
    env: { ...getDefaultEnvironment(), MEMORY_FILE_PATH: of.file },
    stderr: 'ignore',
  });
  const http = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => void sessions.set(id, { http, child }),
  });
  const started = child.start();
  http.onmessage = (message) => void started.then(() => child.send(message));
  child.onmessage = (message) => void http.send(message);
  return { http, child };
}
