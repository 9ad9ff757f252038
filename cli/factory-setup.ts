/**
 * What a Factory project needs so that its droids use the shared context: a hook that brings it
 * into every session, and the memory server the project is linked with. Both are merged into the
 * files that are there; doing it again changes nothing.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonObject, Link } from '../client/index.ts';
import { isObject, readJsonFile, withValue, writeTextFile, type JsonFile } from './json-edit.ts';

/** A file as it will be; `text` null: it says already what it should. */
export interface FileChange {
  readonly path: string;
  readonly text: string | null;
}

export interface HookRequest {
  readonly prefix: string;
  /** Named in the hook when the user named it; else each machine's own default is used. */
  readonly url?: string | undefined;
}

/** Seconds a session start may wait for the hook. */
const HOOK_TIMEOUT_S = 15;
const OUR_HOOK = /\bsyncline\b.*\bcontext inject\b/;

/** `.factory/hooks.json` with our SessionStart hook. @throws Error when the file cannot be merged into */
export async function planHooks(root: string, request: HookRequest): Promise<FileChange> {
  const file = await factoryFile(root, 'hooks.json');
  // Newer files are keyed by event; older ones, like settings.json, have all events under `hooks`.
  const isNested = isObject(file.value['hooks']);
  const events = isNested ? (file.value['hooks'] as Record<string, unknown>) : file.value;
  const path = [...(isNested ? ['hooks'] : []), 'SessionStart'];
  const groups = events['SessionStart'] ?? [];
  if (!Array.isArray(groups)) {
    throw new Error(`${file.path}: /${path.join('/')} is not a list; nothing was written`);
  }
  const command = hookCommand(request);
  const ours = findHook(groups);
  if (ours?.command === command) return { path: file.path, text: null };
  if (ours) return changed(file, [...path, ours.group, 'hooks', ours.hook, 'command'], command);
  const group = { hooks: [{ type: 'command', command, timeout: HOOK_TIMEOUT_S }] };
  const isThere = events['SessionStart'] !== undefined;
  return isThere ? changed(file, [...path, -1], group) : changed(file, path, [group]);
}

/** `.factory/mcp.json` with the memory server of a link. @throws Error when it cannot be merged into */
export async function planMcp(root: string, link: Link): Promise<FileChange> {
  const file = await factoryFile(root, 'mcp.json');
  const servers = file.value['mcpServers'] ?? {};
  if (!isObject(servers)) {
    throw new Error(`${file.path}: /mcpServers is not an object; nothing was written`);
  }
  const entry = serverEntry(link.config);
  const isThere = Object.values(servers).some((server) => isSameServer(server, entry));
  if (isThere) return { path: file.path, text: null };
  return changed(file, ['mcpServers', freeName(servers)], entry);
}

/** The link whose memory server the project's droids should use: of the same contexts. */
export function memoryLinkFor(links: readonly Link[], prefix: string): Link | null {
  return (
    links.find((link) => link.connector === 'mcp-memory' && link.scope.prefix === prefix) ?? null
  );
}

/** Writes what differs. Answers whether anything did. */
export async function writeChange({ path, text }: FileChange): Promise<boolean> {
  if (text === null) return false;
  await writeTextFile(path, text);
  return true;
}

async function factoryFile(root: string, name: string): Promise<JsonFile> {
  const isFolder = await stat(root).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new Error(`${root} is not a folder on this machine; nothing was written`);
  return readJsonFile(join(root, '.factory', name));
}

function changed(file: JsonFile, path: (string | number)[], value: unknown): FileChange {
  return { path: file.path, text: withValue(file.text, path, value) };
}

function hookCommand({ prefix, url }: HookRequest): string {
  const parts = ['syncline', 'context', 'inject', '--prefix', quoted(prefix)];
  return [...parts, ...(url === undefined ? [] : ['--url', quoted(url)])].join(' ');
}

/** A word no shell takes apart. */
function quoted(word: string): string {
  return /^[\w./:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

interface FoundHook {
  readonly group: number;
  readonly hook: number;
  readonly command: string;
}

function findHook(groups: readonly unknown[]): FoundHook | null {
  for (const [group, entry] of groups.entries()) {
    const hooks = isObject(entry) && Array.isArray(entry['hooks']) ? entry['hooks'] : [];
    for (const [hook, one] of (hooks as unknown[]).entries()) {
      const command = isObject(one) ? one['command'] : null;
      if (typeof command === 'string' && OUR_HOOK.test(command)) return { group, hook, command };
    }
  }
  return null;
}

/** Headers and variables may hold secrets by reference; they are left to the user. */
function serverEntry(config: JsonObject): Record<string, unknown> {
  const { url, command, args, memoryFile } = config;
  if (typeof url === 'string') return { type: 'http', url };
  return {
    type: 'stdio',
    command,
    args: args ?? [],
    ...(memoryFile === undefined ? {} : { env: { MEMORY_FILE_PATH: memoryFile } }),
  };
}

function isSameServer(server: unknown, entry: Record<string, unknown>): boolean {
  if (!isObject(server)) return false;
  if (entry['url'] !== undefined) return server['url'] === entry['url'];
  const of = (one: Record<string, unknown>): string =>
    JSON.stringify([
      one['command'],
      one['args'] ?? [],
      isObject(one['env']) ? one['env']['MEMORY_FILE_PATH'] : undefined,
    ]);
  return of(server) === of(entry);
}

/** A name no other server has. */
function freeName(servers: Readonly<Record<string, unknown>>): string {
  let name = 'memory';
  for (let nth = 2; Object.hasOwn(servers, name); nth += 1) name = `memory-${nth}`;
  return name;
}
