/**
 * The sample workspace: a Factory project and a real MCP memory server, linked under one prefix.
 * Made once under `<home>/demo/`; later starts find it again and leave it alone.
 */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import { DEFAULT_GUARDS, type Link } from '../domain/link.ts';
import type { FullStore } from '../store/create-store.ts';
import { DEMO_GRAPH } from './demo-graph.ts';
import { packageRoot } from './package-root.ts';

export const DEMO_PREFIX = 'demo/';
export const DEMO_CALLER: Caller = { tenant: 'default' as TenantId, actor: 'demo' };

export interface DemoWorkspace {
  readonly folder: string;
  readonly project: string;
  readonly memoriesFile: string;
  readonly memoryFile: string;
  /** The MCP server's own executable: the one command the demo is allowed to start. */
  readonly serverCommand: string;
  readonly isNew: boolean;
}

/** Writes the sample files unless they are there. */
export function prepareDemo(home: string): DemoWorkspace {
  const folder = join(home, 'demo');
  const project = join(folder, 'project');
  const memoriesFile = join(project, '.factory', 'memories.md');
  const memoryFile = join(folder, 'memory.jsonl');
  const isNew = !existsSync(folder);
  if (isNew) {
    mkdirSync(dirname(memoriesFile), { recursive: true });
    copyFileSync(join(packageRoot, 'dev', 'demo', 'memories.md'), memoriesFile);
    writeFileSync(memoryFile, DEMO_GRAPH.map((line) => JSON.stringify(line)).join('\n'));
  }
  return { folder, project, memoriesFile, memoryFile, serverCommand: memoryServerCommand(), isNew };
}

/** The real server's executable, as its package names it. */
function memoryServerCommand(): string {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve('@modelcontextprotocol/server-memory/package.json');
  const { bin } = require(manifest) as { bin: string | Record<string, string> };
  const path = typeof bin === 'string' ? bin : Object.values(bin)[0];
  if (!path) throw new AppError('INTERNAL', 'the MCP memory server has no executable');
  return join(dirname(manifest), path);
}

/** The two links of the demo, made when they are not there yet. */
export async function linkDemo(store: FullStore, demo: DemoWorkspace): Promise<Link[]> {
  return [
    await ensureLink(store, 'factory', 'factory-files', { root: demo.project }),
    await ensureLink(store, 'memory', 'mcp-memory', {
      command: demo.serverCommand,
      memoryFile: demo.memoryFile,
    }),
  ];
}

async function ensureLink(
  store: FullStore,
  name: string,
  connector: string,
  config: JsonObject,
): Promise<Link> {
  const known = await store.links.get(DEMO_CALLER, `demo-${name}`).catch(nullIfMissing);
  if (known) return known;
  return store.links.create(DEMO_CALLER, {
    name: `demo-${name}`,
    connector,
    config,
    scope: { prefix: DEMO_PREFIX },
    direction: 'both',
    strategy: 'three-way',
    strategies: [],
    intervalMs: 5_000,
    trigger: 'auto',
    guards: DEFAULT_GUARDS,
  });
}

function nullIfMissing(error: unknown): null {
  if (error instanceof AppError && error.code === 'LINK_NOT_FOUND') return null;
  throw error;
}
