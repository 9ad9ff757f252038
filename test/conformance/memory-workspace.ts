/** Real MCP memory server processes on a file of their own, for tests. */
import { createRequire } from 'node:module';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import {
  StdioClientTransport,
  getDefaultEnvironment,
} from '@modelcontextprotocol/sdk/client/stdio.js';
import type { OpenContext } from '../../connectors/connector.ts';
import type { McpMemoryConfig } from '../../connectors/mcp-memory/mcp-memory.ts';
import { AppError } from '../../domain/errors.ts';
import type { Memory } from '../../domain/item.ts';

/** Path of the memory server's program. */
export async function memoryServerPath(): Promise<string> {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve('@modelcontextprotocol/server-memory/package.json');
  const { bin } = JSON.parse(await readFile(manifest, 'utf8')) as { bin: Record<string, string> };
  return join(dirname(manifest), Object.values(bin)[0]!);
}

/** A folder with a memory file that does not exist yet, and what opening it needs. */
export interface MemoryWorkspace {
  readonly folder: string;
  readonly file: string;
  readonly config: Extract<McpMemoryConfig, { command: string }>;
  readonly context: OpenContext;
  /** Log lines so far. */
  readonly logged: object[];
  remove(): Promise<void>;
}

export async function createMemoryWorkspace(): Promise<MemoryWorkspace> {
  const folder = await mkdtemp(join(tmpdir(), 'syncline-memory-'));
  const file = join(folder, 'memory.jsonl');
  const logged: object[] = [];
  const note = (fields: object) => void logged.push(fields);
  return {
    folder,
    file,
    config: { command: process.execPath, args: [await memoryServerPath()], memoryFile: file },
    context: {
      permissions: { fileRoots: [folder], stdioCommands: [process.execPath] },
      secret: (name) => {
        throw new AppError('VALIDATION', `${name} is not set`);
      },
      log: { debug: note, info: note, warn: note },
    },
    logged,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Another memory server process on the same file, as another agent would run it. */
export interface ForeignMemory {
  call(tool: string, args: Record<string, unknown>): Promise<void>;
  /** Makes the entity be exactly this. */
  put(memory: Memory): Promise<void>;
  close(): Promise<void>;
}

export async function startForeignMemory(workspace: MemoryWorkspace): Promise<ForeignMemory> {
  const client = new Client({ name: 'foreign', version: '1' });
  await client.connect(
    new StdioClientTransport({
      command: workspace.config.command,
      args: workspace.config.args ?? [],
      env: { ...getDefaultEnvironment(), MEMORY_FILE_PATH: workspace.file },
      stderr: 'ignore',
    }),
  );
  const call = async (name: string, args: Record<string, unknown>) => {
    const answer = await client.callTool({ name, arguments: args });
    if (answer.isError) throw new Error(JSON.stringify(answer.content));
  };
  return {
    call,
    async put({ name, type, observations, relations }) {
      await call('delete_entities', { entityNames: [name] });
      await call('create_entities', { entities: [{ name, entityType: type, observations }] });
      if (relations.length === 0) return;
      const rows = relations.map((r) => ({ from: name, to: r.to, relationType: r.type }));
      await call('create_relations', { relations: rows });
    },
    close: () => client.close(),
  };
}
