/** `syncline link …` */
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { JsonObject, Link, NewLink } from '../../client/index.ts';
import { addCommand, type CommandContext, type CommandRunner } from '../cli-context.ts';
import { collect, collectSetting, integerOption, jsonObjectOption } from '../read-value.ts';
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
  const group = program.command('link').description('connections with outside systems');
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
  readonly config?: JsonObject;
  readonly set?: JsonObject;
  readonly root?: string;
  readonly include?: readonly string[];
  readonly command?: string;
  readonly arg?: readonly string[];
  readonly memoryFile?: string;
}

function addAdd(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'add <connector>',
    summary: 'connect a Factory project, an MCP memory server, …',
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
    .option('--config <json>', "the connector's config, as JSON", jsonObjectOption)
    .option('--set <key=value>', 'one member of the config; may be repeated', collectSetting)
    .option('--root <dir>', 'folder (factory-files)')
    .option('--include <what>', 'memories, rules, … (factory-files); may be repeated', collect)
    .option('--command <command>', 'program of the server (mcp-memory)')
    .option('--arg <arg>', 'argument of the program (mcp-memory); may be repeated', collect)
    .option('--memory-file <file>', "the server's file (mcp-memory)");
  command.action((connector: string) =>
    runner.run(command, async ({ client, out }) => {
      const options = command.opts<AddOptions>();
      const link = await client.links.create(newLink(connector, options));
      out.show(link, () => {
        out.line(
          `Linked \`${link.name}\`: ${link.connector} with ${link.scope.prefix}* (${link.id})`,
        );
        out.line(`Next: syncline sync run ${link.name} --wait`);
      });
    }),
  );
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
  };
}

// The server may run in another folder, so paths are sent absolute.
function configOf(options: AddOptions): JsonObject {
  const { config, set, root, include, command, arg, memoryFile } = options;
  return {
    ...config,
    ...set,
    ...(root === undefined ? {} : { root: resolve(root) }),
    ...(include === undefined ? {} : { include: [...include] }),
    ...(command === undefined ? {} : { command }),
    ...(arg === undefined ? {} : { args: [...arg] }),
    ...(memoryFile === undefined ? {} : { memoryFile: resolve(memoryFile) }),
  };
}

function addList(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'list',
    summary: 'all links',
    example: 'syncline link list',
  });
  command.action(() =>
    runner.run(command, async ({ client, out }) => {
      const links = await client.links.list();
      out.show(links, () => printLinks(out, links));
    }),
  );
}

function addShow(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'show <link>',
    summary: 'one link, how it is doing, and what it set aside',
    example: 'syncline link show project',
  });
  command.action((name: string) =>
    runner.run(command, async ({ client, out }) => {
      const link = await client.links.get(name);
      const [status, quarantined] = await Promise.all([
        client.links.status(link.id),
        client.links.quarantined(link.id),
      ]);
      const whole = { ...link, status, quarantined };
      out.show(whole, () => printLink(out, link, status, quarantined));
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
