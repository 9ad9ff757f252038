/** The part of `link add factory-files` that sets the project's droids up: by flag, or by asking. */
import type { Link } from '../client/index.ts';
import type { CommandContext } from './cli-context.ts';
import {
  memoryLinkFor,
  planHooks,
  planMcp,
  writeChange,
  type FileChange,
} from './factory-setup.ts';

export interface FactorySetupOptions {
  /** The project's folder, absolute. */
  readonly root: string;
  readonly prefix: string;
  readonly url?: string | undefined;
  /** True: do it. False: do not. Undefined: ask on a terminal, else leave it. */
  readonly hooks?: boolean | undefined;
  readonly mcp?: boolean | undefined;
}

/** What was planned before the link was made, to be done after it. */
export interface FactorySetup {
  readonly hooks: FileChange | null;
  readonly mcp: FileChange | null;
  /** Why something that was asked for is left out. */
  readonly notes: readonly string[];
}

/** What came of it, for `--json`. */
export interface FactorySetupResult {
  readonly written: readonly string[];
  readonly unchanged: readonly string[];
  readonly notes: readonly string[];
}

const NO_SERVER =
  'mcp.json was left alone: no MCP memory server is linked under this prefix, and Syncline has no MCP server of its own yet';

/** Looks at both files, so that a broken one is known before the link is made. @throws Error */
export async function planFactorySetup(
  { io, client, out }: CommandContext,
  options: FactorySetupOptions,
): Promise<FactorySetup> {
  const { root, prefix, url } = options;
  const { confirm } = io;
  const mayAsk = confirm !== undefined && io.isStdinTerminal && io.isStdoutTerminal && !out.isJson;
  const isWanted = async (flag: boolean | undefined, question: string): Promise<boolean> =>
    flag ?? (mayAsk && (await confirm(question)));
  const notes: string[] = [];
  const hooks = (await isWanted(options.hooks, HOOKS_QUESTION))
    ? await planHooks(root, { prefix, url })
    : null;
  let server: Link | null = null;
  if (options.mcp === true || (options.mcp === undefined && mayAsk)) {
    server = memoryLinkFor(await client.links.list(), prefix);
    if (!server && options.mcp === true) notes.push(NO_SERVER);
  }
  const isMcp = server !== null && (await isWanted(options.mcp, MCP_QUESTION));
  return { hooks, mcp: server && isMcp ? await planMcp(root, server) : null, notes };
}

const HOOKS_QUESTION = 'Write .factory/hooks.json, so that every session starts with this context?';
const MCP_QUESTION = 'Write .factory/mcp.json, so that droids use the linked memory server?';

/** Writes what was planned. */
export async function runFactorySetup({
  hooks,
  mcp,
  notes,
}: FactorySetup): Promise<FactorySetupResult> {
  const written: string[] = [];
  const unchanged: string[] = [];
  for (const change of [hooks, mcp]) {
    if (!change) continue;
    const isNew = await writeChange(change);
    (isNew ? written : unchanged).push(change.path);
  }
  return { written, unchanged, notes };
}
