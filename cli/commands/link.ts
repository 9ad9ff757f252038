/** `syncline link …` */
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { JsonObject, Link, NewLink } from '../../client/index.ts';
import { addCommand, addGroup, type CommandContext, type CommandRunner } from '../cli-context.ts';
import { UsageError } from '../exit-code.ts';
import { collect, collectSetting, integerOption, jsonObjectOption } from '../read-value.ts';
import {
  planFactorySetup,
  runFactorySetup,
  type FactorySetup,
  type FactorySetupResult,
} from '../offer-factory-setup.ts';
import { addFallback } from './link-fallback.ts';
import { addQuarantine, printQuarantined } from './link-quarantine.ts';
import { printLink, printLinks } from './link-rows.ts';

const STRATEGIES: readonly NonNullable<NewLink['strategy']>[] = [
  'three-way',
  'latest',
  'union',
  'intersection',
  'manual',
  'prefer-hub',
  'prefer-remote',
];

/** Links share this prefix unless told otherwise, so two plain `link add` are in step at once. */
const DEFAULT_PREFIX = 'memory/';

/** Adds the group. */
export function addLink(program: Command, runner: CommandRunner): void {
  const group = addGroup(program, {
    usage: 'link',
    summary: 'connections with outside systems',
    example: 'syncline link list',
  });
  addAdd(group, runner);
  addList(group, runner);
  addShow(group, runner);
  addChange(group, runner, {
    name: 'pause',
    summary: 'stop its runs',
    act: ({ client }, id) => client.links.pause(id),
  });
  addChange(group, runner, {
    name: 'resume',
    summary: 'go on with a paused link',
    act: ({ client }, id) => client.links.resume(id),
  });
  addChange(group, runner, {
    name: 'reset',
    summary: 'forget what was agreed and compare anew; deletes nothing',
    act: ({ client }, id) => client.links.reset(id),
  });
  addFallback(group, runner);
  addQuarantine(group, runner);
  addRemove(group, runner);
}

interface AddOptions {
  readonly name?: string;
  readonly prefix: string;
  readonly direction: NonNullable<NewLink['direction']>;
  readonly strategy: NonNullable<NewLink['strategy']>;
  readonly trigger: NonNullable<NewLink['trigger']>;
  readonly intervalMs?: number;
  readonly guards?: JsonObject;
  readonly conflictFallback?: JsonObject;
  readonly config?: JsonObject;
  readonly set?: JsonObject;
  readonly root?: string;
  readonly hooks?: boolean;
  readonly mcp?: boolean;
  readonly include?: readonly string[];
  readonly command?: string;
  readonly arg?: readonly string[];
  readonly memoryFile?: string;
  readonly remoteUrl?: string;
  readonly apiKeyEnv?: string;
  readonly remotePrefix?: string;
  readonly memoryDir?: string;
}

function addAdd(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'add <connector>',
    summary: 'connect a Factory project, Claude Code, an MCP memory server, …',
    example:
      'syncline link add factory-files --name project --prefix proj/ --root .\n  $ syncline link add mcp-memory --prefix proj/ --command npx --arg -y --arg @modelcontextprotocol/server-memory --memory-file memory.jsonl',
  })
    .option('--name <name>', 'name of the link (default: the connector)')
    .option('--prefix <prefix>', 'start of the keys kept in step', DEFAULT_PREFIX)
    .addOption(
      new Option('--direction <direction>', 'which way')
        .choices(['both', 'pull', 'push'])
        .default('both'),
    )
    .addOption(
      new Option('--strategy <strategy>', 'what decides where both changed')
        .choices([...STRATEGIES])
        .default('three-way'),
    )
    .addOption(
      new Option('--trigger <trigger>', 'when to run').choices(['auto', 'manual']).default('auto'),
    )
    .option('--interval-ms <ms>', 'look this often without a hint', integerOption(1))
    .option('--guards <json>', 'guards, as JSON', jsonObjectOption)
    .option(
      '--conflict-fallback <json>',
      'what decides a conflict nobody decided in time: {"afterMs","strategy"}',
      jsonObjectOption,
    )
    .option('--config <json>', "the connector's config, as JSON", jsonObjectOption)
    .option('--set <key=value>', 'one member of the config; may be repeated', collectSetting)
    .option('--root <dir>', 'project folder (factory-files, claude-code)')
    .option(
      '--hooks',
      'write .factory/hooks.json: sessions start with this context (factory-files)',
    )
    .option('--no-hooks', 'leave .factory/hooks.json alone, and do not ask')
    .option('--mcp', 'write .factory/mcp.json: the memory server linked here (factory-files)')
    .option('--no-mcp', 'leave .factory/mcp.json alone, and do not ask')
    .option(
      '--include <what>',
      'what to keep in step, such as memories or rules (factory-files, claude-code); may be repeated',
      collect,
    )
    .option('--memory-dir <dir>', "Claude Code's memory folder of the project (claude-code)")
    .option('--command <command>', 'program of the server (mcp-memory)')
    .option('--arg <arg>', 'argument of the program (mcp-memory); may be repeated', collect)
    .option('--memory-file <file>', "the server's file (mcp-memory)")
    .option('--remote-url <url>', 'address of the other Syncline (hub) or server (mcp-memory)')
    .option(
      '--api-key-env <name>',
      "variable of the server that holds the other's key: SYNCLINE_SECRET_… (hub)",
    )
    .option('--remote-prefix <prefix>', 'start of the keys there, if another (hub)');
  command.action((connector: string) =>
    runner.run(command, async (context) => {
      const { client, out } = context;
      const options = command.opts<AddOptions>();
      const wanted = newLink(connector, options);
      // Looked at first: a file that cannot be merged into must not leave half of this done.
      const setup = await plannedSetup(context, wanted, command.optsWithGlobals());
      const link = await client.links.create(wanted);
      const done = setup && (await runFactorySetup(setup));
      const shown = done && hasNews(done) ? { ...link, setup: done } : link;
      out.show(shown, () => {
        out.line(
          `Linked \`${link.name}\`: ${link.connector} with ${link.scope.prefix}* (${link.id})`,
        );
        if (done) printSetup(out, done);
        out.line(`Next: syncline sync run ${link.name} --wait`);
      });
    }),
  );
}

/** Only a Factory project has something to set up, and only where we know its folder. */
async function plannedSetup(
  context: CommandContext,
  { connector, config, scope }: NewLink,
  { hooks, mcp, url }: AddOptions & { readonly url?: string },
): Promise<FactorySetup | null> {
  const isFactory = connector === 'factory-files';
  const root = config['root'];
  if (!isFactory || typeof root !== 'string') {
    if (!hooks && !mcp) return null;
    throw new UsageError('--hooks and --mcp go with factory-files and a --root');
  }
  return planFactorySetup(context, { root, prefix: scope.prefix, hooks, mcp, url });
}

function hasNews({ written, unchanged, notes }: FactorySetupResult): boolean {
  return written.length + unchanged.length + notes.length > 0;
}

function printSetup(out: CommandContext['out'], done: FactorySetupResult): void {
  for (const path of done.written) out.line(`Wrote ${path}`);
  for (const path of done.unchanged) out.line(`${path} says it already`);
  for (const note of done.notes) out.line(`Note: ${note}`);
}

function newLink(connector: string, options: AddOptions): NewLink {
  const { name = connector, prefix, direction, strategy, trigger } = options;
  return {
    name,
    connector,
    config: configOf(options),
    scope: { prefix },
    direction,
    strategy,
    trigger,
    ...(options.intervalMs === undefined ? {} : { intervalMs: options.intervalMs }),
    // The server checks what they hold and says what is wrong.
    ...(options.guards ? { guards: options.guards } : {}),
    ...(options.conflictFallback
      ? { conflictFallback: options.conflictFallback as NewLink['conflictFallback'] & object }
      : {}),
  };
}

// The server may run in another folder, so paths are sent absolute.
function configOf(options: AddOptions): JsonObject {
  const {
    config,
    set,
    root,
    include,
    command,
    arg,
    memoryFile,
    memoryDir,
    remoteUrl,
    apiKeyEnv,
    remotePrefix,
  } = options;
  return {
    ...config,
    ...set,
    ...(root === undefined ? {} : { root: resolve(root) }),
    ...(include === undefined ? {} : { include: [...include] }),
    ...(command === undefined ? {} : { command }),
    ...(arg === undefined ? {} : { args: [...arg] }),
    ...(memoryFile === undefined ? {} : { memoryFile: resolve(memoryFile) }),
    ...(remoteUrl === undefined ? {} : { url: remoteUrl }),
    ...(apiKeyEnv === undefined ? {} : { apiKey: { env: apiKeyEnv } }),
    ...(remotePrefix === undefined ? {} : { prefix: remotePrefix }),
    ...(memoryDir === undefined ? {} : { memoryDir: resolve(memoryDir) }),
  };
}

function addList(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'list',
    summary: 'all links, by name',
    example: 'syncline link list --limit 20',
  })
    .option('--limit <n>', 'a page of so many (default: all)', integerOption(1))
    .option('--cursor <cursor>', 'go on where the page before ended');
  command.action(() =>
    runner.run(command, async ({ client, out }) => {
      const query = command.opts<{ readonly limit?: number; readonly cursor?: string }>();
      const isPaged = query.limit !== undefined || query.cursor !== undefined;
      const { items, nextCursor } = isPaged
        ? await client.links.page(query)
        : { items: await client.links.list(), nextCursor: null };
      out.show(items, () => {
        printLinks(out, items);
        if (nextCursor !== null) out.line(`There are more: --cursor ${nextCursor}`);
      });
    }),
  );
}

function addShow(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'show <link>',
    summary: 'one link, how it is doing, and what it set aside',
    example: 'syncline link show project',
  }).option('--quarantined', 'only what it set aside, in full');
  command.action((name: string) =>
    runner.run(command, async ({ client, out }) => {
      if (command.opts<{ readonly quarantined?: boolean }>().quarantined) {
        const items = await client.links.quarantined(name);
        out.show(items, () => printQuarantined(out, items));
        return;
      }
      const link = await client.links.get(name);
      const [status, quarantined, { items: runs }] = await Promise.all([
        client.links.status(link.id),
        client.links.quarantined(link.id),
        client.runs.list(link.id, { limit: 1 }),
      ]);
      const whole = { ...link, status, quarantined, newestRun: runs[0] ?? null };
      out.show(whole, () => printLink(out, whole));
    }),
  );
}

interface Change {
  readonly name: string;
  readonly summary: string;
  readonly act: (context: CommandContext, id: string) => Promise<Link>;
}

function addChange(group: Command, runner: CommandRunner, change: Change): void {
  const command = addCommand(group, {
    usage: `${change.name} <link>`,
    summary: change.summary,
    example: `syncline link ${change.name} project`,
  });
  command.action((name: string) =>
    runner.run(command, async (context) => {
      const link = await change.act(context, name);
      context.out.show(link, () =>
        context.out.line(`\`${link.name}\` is ${link.state} (epoch ${link.epoch})`),
      );
    }),
  );
}

function addRemove(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'remove <link>',
    summary: 'disconnect; leaves the data of both sides alone',
    example: 'syncline link remove project',
  });
  command.action((name: string) =>
    runner.run(command, async ({ client, out }) => {
      const removed = await client.links.remove(name);
      out.show(removed, () => out.line(`Removed \`${removed.name}\`. Both sides keep their data.`));
    }),
  );
}
