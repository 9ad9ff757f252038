/** A Factory project in a temporary folder, with a connector open on it. */
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type {
  Connector,
  OpenContext,
  RemoteEntry,
  RemoteItem,
  RemoteOp,
} from '../../connectors/connector.ts';
import { factoryFiles } from '../../connectors/factory-files/factory-files.ts';
import type { Memory } from '../../domain/item.ts';
import { asRemoteId, canonicalMemory } from '../../domain/item.ts';
import type { JsonObject } from '../../domain/json.ts';

export interface Project {
  readonly root: string;
  readonly memories: string;
  read(path?: string): Promise<string>;
  write(text: string | Uint8Array, path?: string): Promise<void>;
  open(config?: JsonObject): Promise<Connector>;
  remove(): Promise<void>;
}

export async function createProject(): Promise<Project> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'factory-files-')));
  const path = (file = '.factory/memories.md'): string => join(root, file);
  const open = new Set<Connector>();
  await mkdir(path('.factory'));
  return {
    root,
    memories: path(),
    read: (file) => readFile(path(file), 'utf8'),
    async write(text, file) {
      await mkdir(dirname(path(file)), { recursive: true });
      await writeFile(path(file), text);
    },
    async open(config = {}) {
      const connector = await factoryFiles.open(
        factoryFiles.configSchema.parse({ root, ...config }),
        openContext([root]),
      );
      open.add(connector);
      return connector;
    },
    async remove() {
      for (const connector of open) await connector.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

export function openContext(fileRoots: readonly string[]): OpenContext {
  const silent = (): void => undefined;
  return {
    permissions: { fileRoots, stdioCommands: [] },
    secret: () => '',
    log: { debug: silent, info: silent, warn: silent },
  };
}

export function memory(name: string, texts: readonly string[], more: Partial<Memory> = {}): Memory {
  return canonicalMemory({
    name,
    type: 'section',
    observations: [...texts],
    relations: [],
    ...more,
  });
}

export async function observed(connector: Connector): Promise<readonly RemoteEntry[]> {
  return (await connector.observe({ since: null, page: null })).entries;
}

/** The item of a name as it is now. @throws Error when there is none */
export async function itemNamed(connector: Connector, name: string): Promise<RemoteItem> {
  const entry = (await observed(connector)).find(({ remoteId }) => remoteId === name);
  if (entry?.status !== 'present') throw new Error(`no item named ${name}`);
  return entry;
}

export function createOp(value: Memory): RemoteOp {
  return {
    opId: `create ${value.name}`,
    action: 'create',
    kind: 'memory',
    remoteId: asRemoteId(value.name),
    value,
    expectedVersion: null,
  };
}

export function updateOp(item: RemoteItem, value: JsonObject): RemoteOp {
  const { remoteId, kind, version } = item;
  return {
    opId: `update ${remoteId}`,
    action: 'update',
    kind,
    remoteId,
    value,
    expectedVersion: version,
  };
}

export function deleteOp(item: RemoteItem): RemoteOp {
  return { ...updateOp(item, {}), opId: `delete ${item.remoteId}`, action: 'delete', value: null };
}

/** Resolves when the condition holds; the test's own time limit ends a wait in vain. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}
