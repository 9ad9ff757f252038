/** `syncline conflicts resolve`: one conflict, or all of a link. */
import { Option, type Command } from 'commander';
import {
  SyncError,
  type BulkResolution,
  type BulkResult,
  type Conflict,
  type JsonText,
  type Resolution,
} from '../../client/index.ts';
import { addCommand, type CommandContext, type CommandRunner } from '../cli-context.ts';
import { EXIT, UsageError, type ExitCode } from '../exit-code.ts';
import { safeText, type Output } from '../output.ts';
import { integerOption, readJsonValue } from '../read-value.ts';
import { printValue } from './link-rows.ts';

type Choice = BulkResolution['choice'];
type Item = BulkResult['items'][number];

interface ResolveOptions {
  readonly choice?: Choice;
  readonly value?: string;
  readonly by?: string;
  readonly ifRevision?: number;
  readonly all?: boolean;
  readonly link?: string;
  readonly reason?: Item['reason'];
  readonly prefix?: string;
  readonly key?: string;
  readonly preview?: boolean;
}

/** Conflicts of one call; what the server does for each is a transaction of its own. */
const PAGE = 200;

/** Adds the command. */
export function addResolve(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'resolve [conflict]',
    summary: 'decide; written to both sides, the other values stay in the history',
    example:
      'syncline conflicts resolve 01a1fe21-22de-72e5-a0f2-3ba63570d65e --choice hub\n  $ syncline conflicts resolve --all --link project --choice remote --preview',
  })
    .addOption(
      new Option('--choice <choice>', 'which value').choices(['hub', 'remote', 'base', 'merged']),
    )
    .option('--value <json>', 'another value: JSON, @file or -')
    .option('--by <name>', 'who decided')
    .option('--if-revision <n>', 'only if nothing changed since you looked', integerOption(1))
    .option('--all', 'all open conflicts of a link')
    .option('--link <link>', 'the link (with --all)')
    .option('--reason <reason>', 'only of this reason (with --all)')
    .option('--prefix <prefix>', 'only keys that start so (with --all)')
    .option('--key <key>', 'only this key (with --all)')
    .option('--preview', 'show what it would do, do nothing (with --all)');
  command.action((id: string | undefined) =>
    runner.run(command, async (context) => {
      const options = command.opts<ResolveOptions>();
      if (options.all) return resolveAll(context, id, options);
      return resolveOne(context, id, options);
    }),
  );
}

async function resolveOne(
  { io, client, out }: CommandContext,
  id: string | undefined,
  options: ResolveOptions,
): Promise<ExitCode> {
  if (id === undefined) throw new UsageError('name a conflict, or give --all --link <link>');
  for (const name of ['link', 'reason', 'prefix', 'key', 'preview'] as const) {
    if (options[name] !== undefined) throw new UsageError(`--${name} goes with --all`);
  }
  const value = options.value === undefined ? undefined : await readJsonValue(options.value, io);
  try {
    const resolved = await client.conflicts.resolve(id, resolutionOf(options, value));
    out.show(resolved, () => {
      out.line(
        `\`${safeText(resolved.key)}\` is ${resolved.status}; the next run writes both sides.`,
      );
    });
    return EXIT.done;
  } catch (error) {
    const now = movedTo(error);
    if (now) io.stderr(`Look again: syncline conflicts show ${now.id}\n`);
    throw error;
  }
}

/** The conflict as the server offers it again. */
function movedTo(error: unknown): Conflict | null {
  if (!(error instanceof SyncError) || error.code !== 'CONFLICT_MOVED') return null;
  return (error.problem?.['conflict'] as Conflict | undefined) ?? null;
}

function resolutionOf(options: ResolveOptions, value: JsonText | undefined): Resolution {
  const { choice, by, ifRevision } = options;
  if ((choice === undefined) === (value === undefined)) {
    throw new UsageError('give either --choice or --value');
  }
  return {
    choice: choice ?? 'value',
    // Sent as written; the client embeds it.
    ...(value === undefined ? {} : { value: value as unknown as NonNullable<Resolution['value']> }),
    ...(by === undefined ? {} : { by }),
    ...(ifRevision === undefined ? {} : { ifRevision }),
  };
}

async function resolveAll(
  { client, out }: CommandContext,
  id: string | undefined,
  options: ResolveOptions,
): Promise<ExitCode> {
  const request = bulkOf(id, options);
  const items: Item[] = [];
  let count = 0;
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await client.conflicts.resolveMany({
      ...request,
      ...(cursor === undefined ? {} : { cursor }),
    });
    if (cursor === undefined) count = page.count;
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  out.show({ preview: request.preview === true, count, items }, () => printItems(out, items));
  return items.some(({ status }) => status === 'refused') ? EXIT.conflicts : EXIT.done;
}

function bulkOf(id: string | undefined, options: ResolveOptions): BulkResolution {
  const { choice, link, reason, prefix, key, by, preview } = options;
  if (id !== undefined) throw new UsageError('give a conflict or --all, not both');
  if (options.value !== undefined || options.ifRevision !== undefined) {
    throw new UsageError('--value and --if-revision are for one conflict');
  }
  if (link === undefined) throw new UsageError('--all needs --link <link>');
  if (choice === undefined) throw new UsageError('--all needs --choice');
  return {
    linkId: link,
    choice,
    limit: PAGE,
    filter: {
      ...(reason === undefined ? {} : { reason }),
      ...(prefix === undefined ? {} : { prefix }),
      ...(key === undefined ? {} : { key }),
    },
    ...(by === undefined ? {} : { by }),
    ...(preview ? { preview } : {}),
  };
}

function printItems(out: Output, items: readonly Item[]): void {
  if (items.length === 0) return out.line('No open conflicts that fit.');
  for (const item of items) {
    out.line(`${out.paint('bold', safeText(item.key))}  ${item.reason}  ${item.status}`);
    if (item.detail !== undefined) out.line(`  ${item.code ?? ''}: ${safeText(item.detail)}`);
    for (const side of ['hub', 'remote'] as const) {
      const values = item[side];
      if (!values) continue;
      printValue(out, `${side} now`, values.before);
      printValue(out, `${side} then`, values.after);
    }
  }
  const count = (status: Item['status']): number =>
    items.filter((item) => item.status === status).length;
  const [open, done, refused] = [count('resolvable'), count('resolved'), count('refused')];
  out.line(
    [
      ...(open > 0 ? [`${open} would be resolved; nothing was changed`] : []),
      ...(done > 0 ? [`${done} resolved; the next run writes both sides`] : []),
      ...(refused > 0 ? [`${refused} refused`] : []),
    ].join(', ') + '.',
  );
}
