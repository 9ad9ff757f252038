/** The two ways to a memory server: a child process over stdio, or an address over HTTP. */
import {
  StdioClientTransport,
  getDefaultEnvironment,
} from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { systemClock } from '../../domain/clock.ts';
import { AppError } from '../../domain/errors.ts';
import type { OpenContext } from '../connector.ts';
import { retryAfterFrom } from '../rate-limit.ts';
import {
  isStdioConfig,
  MEMORY_FILE_VARIABLE,
  memoryFileOf,
  resolveSecrets,
  type McpMemoryConfig,
  type McpMemoryHttpConfig,
  type McpMemoryStdioConfig,
} from './mcp-memory-config.ts';
import type { ServerTransport } from './mcp-session.ts';

/** A graph comes as one line, twice over (text and structure); the SDK's 10 MiB would be too tight. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
/** Longest piece of a server's error output we log. */
const MAX_LOGGED_CHARS = 200;

/**
 * Makes a fresh transport per call. Secrets are resolved here, once.
 *
 * @throws AppError VALIDATION when a secret reference names nothing
 */
export function createServerTransport(
  config: McpMemoryConfig,
  context: OpenContext,
): () => ServerTransport {
  return isStdioConfig(config) ? overStdio(config, context) : overHttp(config, context);
}

/** What a config's server is called in errors: never arguments or headers, they may hold secrets. */
export function serverNameOf(config: McpMemoryConfig): string {
  if (isStdioConfig(config)) return `The MCP memory server "${config.command}"`;
  const { origin, pathname } = new URL(config.url);
  return `The MCP memory server at ${origin}${pathname}`;
}

function overStdio(config: McpMemoryStdioConfig, context: OpenContext): () => ServerTransport {
  const given = resolveSecrets(config.env, context.secret);
  const file = memoryFileOf(config);
  const env = {
    ...getDefaultEnvironment(),
    ...given,
    ...(file && { [MEMORY_FILE_VARIABLE]: file }),
  };
  const secrets = Object.values(given).filter((text) => text.length > 0);
  return () => {
    const transport = new StdioClientTransport({
      command: config.command,
      args: config.args ?? [],
      env,
      stderr: 'pipe',
      maxBufferSize: MAX_ANSWER_BYTES,
    });
    transport.stderr?.on('data', (chunk: Buffer) => {
      const text = masked(chunk.toString('utf8').trim(), secrets).slice(0, MAX_LOGGED_CHARS);
      context.log.debug({ command: config.command, stderr: text }, 'MCP server wrote to stderr');
    });
    return { transport, kill: () => killChild(transport) };
  };
}

function overHttp(config: McpMemoryHttpConfig, context: OpenContext): () => ServerTransport {
  const headers = resolveSecrets(config.headers, context.secret);
  return () => {
    const transport = new StreamableHTTPClientTransport(new URL(config.url), {
      // The allow-list has judged this address and no other.
      requestInit: { headers, redirect: 'error' },
      fetch: fetchUnlessBusy,
    });
    return {
      transport,
      kill: () => void transport.close().catch(() => undefined),
    };
  };
}

/** A busy server says for how long; the SDK would keep the number and drop the header. */
async function fetchUnlessBusy(url: string | URL, init?: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  if (response.status !== 429) return response;
  const retryAfterMs = retryAfterFrom(response.headers.get('retry-after'), systemClock.now());
  await response.body?.cancel();
  throw new AppError('RATE_LIMITED', `${new URL(url).host} asks to be left alone for a while.`, {
    retryable: true,
    extra: { retryAfterMs },
  });
}

// A child that does not answer may not read its end of the pipe either, so nothing milder will do.
function killChild(transport: StdioClientTransport): void {
  const { pid } = transport;
  try {
    if (pid !== null) process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
  void transport.close().catch(() => undefined);
}

function masked(text: string, secrets: readonly string[]): string {
  return secrets.reduce((seen, secret) => seen.replaceAll(secret, '***'), text);
}
