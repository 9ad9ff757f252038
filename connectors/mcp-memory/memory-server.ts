/**
 * The memory server's tools, typed. Reading answers a looked-at graph or says in plain words why
 * the remote as a whole cannot be read; writing answers whether the server took the call.
 */
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { AppError } from '../../domain/errors.ts';
import { hashText } from '../../domain/hash.ts';
import type { McpSession } from './mcp-session.ts';
import { diagnoseFile, fileStamp } from './memory-file.ts';
import { rawGraphSchema, toMemoryGraph, type MemoryGraph, type RawGraph } from './memory-graph.ts';

/** The resource that shows the whole graph. */
export const GRAPH_URI = 'memory://knowledge-graph';

/** The tools this connector uses; a server without them is another kind of server. */
export const WRITE_TOOLS = [
  'delete_entities',
  'delete_observations',
  'delete_relations',
  'create_entities',
  'add_observations',
  'create_relations',
] as const;
export type WriteTool = (typeof WRITE_TOOLS)[number];
export const REQUIRED_TOOLS: readonly string[] = [...WRITE_TOOLS, 'read_graph', 'open_nodes'];

/** What became of one writing call: taken, with the names it created, or refused as a whole. */
export type WriteAnswer =
  | { readonly isTaken: true; readonly createdNames: readonly string[] | null }
  | { readonly isTaken: false };

export interface MemoryServer {
  /** @throws AppError REMOTE_MALFORMED, REMOTE_NOT_UTF8, CONNECTOR_UNREACHABLE */
  readGraph(signal?: AbortSignal): Promise<MemoryGraph>;
  /** The graph of some names only; cheaper than all of it. Throws as {@link readGraph} does. */
  readNodes(names: readonly string[], signal?: AbortSignal): Promise<MemoryGraph>;
  /** Changes whenever the memory file was written; null where the file is not known. */
  stamp(): Promise<string | null>;
  /** @throws AppError CONNECTOR_UNREACHABLE when nobody knows what became of the call */
  write(tool: WriteTool, args: Record<string, unknown>, signal?: AbortSignal): Promise<WriteAnswer>;
}

/**
 * @param file the memory file where it is known, for checks the server does not make
 * @param checkFile made before every read
 */
export function createMemoryServer(
  session: McpSession,
  file: string | null,
  checkFile: () => Promise<void> = () => Promise.resolve(),
): MemoryServer {
  let last: { readonly textHash: string; readonly graph: MemoryGraph } | null = null;

  async function read(
    tool: 'read_graph' | 'open_nodes',
    args: Record<string, unknown>,
    signal?: AbortSignal,
  ): Promise<MemoryGraph> {
    await checkFile();
    const answer = await session.call(tool, args, { signal, isRead: true });
    if (answer.isError) return readUnchecked(answer, signal);
    const text = textOf(answer);
    await refuseForeignBytes(text);
    const textHash = hashText(text);
    // A quiet remote answers the same text over and over; hashing it once beats hashing each item.
    if (last?.textHash === textHash) return last.graph;
    const graph = toMemoryGraph(rawGraphOf(answer.structuredContent ?? parseOrNull(text)));
    if (tool === 'read_graph') last = { textHash, graph };
    return graph;
  }

  // One entity of a wrong shape makes the server refuse to list any; its resource shows them all.
  async function readUnchecked(answer: CallToolResult, signal?: AbortSignal): Promise<MemoryGraph> {
    const fault = file ? await diagnoseFile(file) : null;
    if (fault) throw fault;
    const text = await session.readResource(signal);
    if (text === null) throw refusedRead(answer);
    await refuseForeignBytes(text);
    return toMemoryGraph(rawGraphOf(parseOrNull(text)));
  }

  // The server reads bytes that are not UTF-8 as U+FFFD and would write that back for good.
  async function refuseForeignBytes(text: string): Promise<void> {
    const fault = file && text.includes('\uFFFD') ? await diagnoseFile(file) : null;
    if (fault?.code === 'REMOTE_NOT_UTF8') throw fault;
  }

  return {
    readGraph: (signal) => read('read_graph', {}, signal),
    readNodes: (names, signal) => read('open_nodes', { names }, signal),
    stamp: () => (file ? fileStamp(file) : Promise.resolve(null)),
    async write(tool, args, signal) {
      const answer = await session.call(tool, args, { signal });
      if (!answer.isError) return { isTaken: true, createdNames: createdNamesOf(tool, answer) };
      throwIfSystemError(textOf(answer));
      return { isTaken: false };
    },
  };
}

function textOf(answer: CallToolResult): string {
  const [first] = answer.content;
  return first?.type === 'text' ? first.text : JSON.stringify(answer.structuredContent ?? null);
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function rawGraphOf(answer: unknown): RawGraph {
  const { success, data } = rawGraphSchema.safeParse(answer);
  if (success) return data;
  throw new AppError('REMOTE_MALFORMED', 'The memory server answered something that is no graph.');
}

function createdNamesOf(tool: WriteTool, answer: CallToolResult): readonly string[] | null {
  if (tool !== 'create_entities') return null;
  const listed = answer.structuredContent?.['entities'] ?? parseOrNull(textOf(answer));
  if (!Array.isArray(listed)) return null;
  return listed.map((entity) => String((entity as { name?: unknown } | null)?.name));
}

/** The server's own words may quote the file, so only a system error's code is passed on. */
function refusedRead(answer: CallToolResult): AppError {
  throwIfSystemError(textOf(answer));
  return new AppError(
    'REMOTE_MALFORMED',
    'The memory server cannot read its file: a line is not JSON, or an entity has a wrong shape.',
  );
}

function throwIfSystemError(text: string): void {
  const code = /^(?:Error: )?(E[A-Z]{2,15}): /.exec(text)?.[1];
  if (!code) return;
  const message = `The memory server cannot use its file (${code}).`;
  throw new AppError('CONNECTOR_UNREACHABLE', message, { retryable: true });
}
