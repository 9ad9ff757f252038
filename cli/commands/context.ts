/** `syncline context …` */
import { Option, type Command } from 'commander';
import {
  SyncError,
  type ContextEnvelope,
  type JsonObject,
  type UpdateOptions,
} from '../../client/index.ts';
import { addCommand, addGroup, type CommandRunner } from '../cli-context.ts';
import { addSearch } from './context-search.ts';
import { addWatch } from './context-watch.ts';
import { UsageError } from '../exit-code.ts';
import { addHistory } from './context-history.ts';
import { addInject } from './inject.ts';
import { prettyJson, type Output } from '../output.ts';
import {
  collect,
  integerOption,
  jsonObjectOption,
  readJsonValue,
  secondsOption,
} from '../read-value.ts';

/** Adds the group. */
export function addContext(program: Command, runner: CommandRunner): void {
  const group = addGroup(program, {
    usage: 'context',
    summary: 'contexts in the hub',
    example: 'syncline context list --prefix proj/',
  });
  addGet(group, runner);
  addPut(group, runner);
  addDelete(group, runner);
  addList(group, runner);
  addHistory(group, runner);
  addSearch(group, runner);
  addWatch(group, runner);
  addInject(group, runner);
}

function addGet(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'get <key>',
    summary: 'print the data; with --json, everything',
    example: 'syncline context get proj/notes',
  })
    .option('--version <n>', 'a version of the history', integerOption(1))
    .option('--fields <list>', 'only these, e.g. version,/state/step; prints JSON');
  command.action((key: string) =>
    runner.run(command, async ({ client, out }) => {
      const { version, fields } = command.opts<{ version?: number; fields?: string }>();
      const context = await client.get(key, {
        ...(version === undefined ? {} : { version }),
        ...(fields === undefined ? {} : { fields: fields.split(',') }),
      });
      if (context === null) throw missing(key, version);
      out.show(context, () => out.line(prettyJson(fields === undefined ? context.data : context)));
    }),
  );
}

function missing(key: string, version: number | undefined): SyncError {
  return version === undefined
    ? new SyncError(`There is no context \`${key}\`.`, { code: 'CONTEXT_NOT_FOUND', status: 404 })
    : new SyncError(`\`${key}\` has no version ${version}.`, {
        code: 'VERSION_NOT_FOUND',
        status: 404,
      });
}

interface PutOptions {
  readonly changeType?: NonNullable<UpdateOptions['changeType']>;
  readonly tag?: readonly string[];
  readonly ttl?: number | 'never';
  readonly kind?: string;
  readonly source?: string;
  readonly metadata?: JsonObject;
  readonly session?: string;
  readonly agent?: string;
  readonly parent?: string;
  readonly encrypt?: boolean;
  readonly compress?: boolean;
  readonly ifVersion?: number;
}

function addPut(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'put <key> [value]',
    summary: 'store a context; the value is JSON, @file or - (default: standard input)',
    example: `syncline context put proj/notes '{"step":1}' --tag demo`,
  })
    .addOption(
      new Option('--change-type <type>', 'change an existing one instead of storing anew').choices([
        'replace',
        'merge',
        'append',
      ]),
    )
    .option('--tag <tag>', 'may be repeated', collect)
    .option(
      '--ttl <time|never>',
      'time to live, in seconds or like 90s, 6h, 30d (86400)',
      ttlOption,
    )
    .option('--kind <kind>', 'what it is, e.g. memory')
    .option('--source <source>', 'where it comes from')
    .option('--metadata <json>', 'a JSON object', jsonObjectOption)
    .option('--session <id>', 'the session it belongs to')
    .option('--agent <id>', 'the agent it belongs to')
    .option('--parent <key>', 'the context it belongs under')
    .option('--encrypt', 'keep the data encrypted')
    .option('--no-encrypt', 'keep it in clear, even if it was encrypted')
    .option('--compress', 'always compress the data')
    .option('--no-compress', 'never compress it')
    .option('--by <name>', 'who makes the change, with --change-type')
    .option(
      '--if-version <n>',
      'only if this is the version; 0 = must not exist',
      integerOption(0),
    );
  command.action((key: string, value: string | undefined) =>
    runner.run(command, async ({ io, client, out }) => {
      const { changeType, tag, by, ...rest } = command.opts<PutOptions & { by?: string }>();
      if (by !== undefined && changeType === undefined)
        throw new UsageError('--by needs --change-type');
      const options = { ...pickOptions(rest), ...(tag === undefined ? {} : { tags: tag }) };
      const data = await readJsonValue(value, io);
      const envelope =
        changeType === undefined
          ? await client.store(key, data, options)
          : await client.update(key, data, { ...options, changeType, changedBy: by });
      out.show(envelope, () => out.line(`\`${envelope.key}\` is at version ${envelope.version}`));
    }),
  );
}

// Commander's opts also hold the options all commands have.
function pickOptions(given: PutOptions): UpdateOptions {
  const { kind, source, metadata, encrypt, compress, ifVersion } = given;
  const ttl = given.ttl === 'never' ? null : given.ttl;
  const { session: sessionId, agent: agentId, parent: parentId } = given;
  return {
    ttl,
    kind,
    source,
    metadata,
    sessionId,
    agentId,
    parentId,
    encrypt,
    compress,
    ifVersion,
  };
}

// Commander takes null for "no value" and makes it an empty text.
const ttlOption = (text: string): number | 'never' =>
  text === 'never' ? text : secondsOption(1)(text);

function addDelete(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'delete <key>',
    summary: 'delete a context; its history stays until retention',
    example: 'syncline context delete proj/notes',
  }).option('--if-version <n>', 'only if this is the version', integerOption(1));
  command.action((key: string) =>
    runner.run(command, async ({ client, out }) => {
      const { ifVersion } = command.opts<{ ifVersion?: number }>();
      const deleted = await client.delete(key, ifVersion === undefined ? {} : { ifVersion });
      out.show(deleted, () => out.line(`Deleted \`${deleted.key}\` (version ${deleted.version})`));
    }),
  );
}

interface ListOptions {
  readonly prefix?: string;
  readonly tag?: readonly string[];
  readonly session?: string;
  readonly agent?: string;
  readonly parent?: string;
  readonly source?: string;
  readonly limit: number;
}

function addList(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'list',
    summary: 'contexts by key',
    example: 'syncline context list --prefix proj/',
  })
    .option('--prefix <prefix>', 'start of the keys')
    .option('--tag <tag>', 'only with this tag; may be repeated', collect)
    .option('--session <id>', 'only of this session')
    .option('--agent <id>', 'only of this agent')
    .option('--parent <key>', 'only under this context')
    .option('--source <source>', 'only from this source')
    .option('--limit <n>', 'how many at most', integerOption(1), 1000);
  command.action(() =>
    runner.run(command, async ({ client, out, io }) => {
      const { prefix, tag, session, agent, parent, source, limit } = command.opts<ListOptions>();
      const items: ContextEnvelope[] = [];
      let cursor: string | null = null;
      do {
        const page = await client.list({
          limit: Math.min(1000, limit - items.length),
          ...(prefix === undefined ? {} : { prefix }),
          ...(tag === undefined ? {} : { tag }),
          ...(session === undefined ? {} : { sessionId: session }),
          ...(agent === undefined ? {} : { agentId: agent }),
          ...(parent === undefined ? {} : { parent }),
          ...(source === undefined ? {} : { source }),
          ...(cursor === null ? {} : { cursor }),
        });
        items.push(...page.items);
        cursor = page.nextCursor;
      } while (cursor !== null && items.length < limit);
      out.show(items, () => printContexts(out, items));
      // On stderr, so that what reads the rows, JSON or not, gets nothing but rows.
      if (cursor !== null) io.stderr('There are more; raise --limit.\n');
    }),
  );
}

function printContexts(out: Output, contexts: readonly ContextEnvelope[]): void {
  if (contexts.length === 0) return out.line('No contexts.');
  out.table(
    ['KEY', 'VERSION', 'KIND', 'SIZE', 'UPDATED', 'BY', 'EXPIRES'],
    contexts.map((context) => [
      context.key,
      context.version,
      context.kind,
      context.size,
      context.updatedAt,
      context.updatedBy,
      context.expiresAt ?? 'never',
    ]),
  );
}
