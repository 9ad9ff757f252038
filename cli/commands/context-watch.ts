/** `syncline context watch`: changes as they are committed, until Ctrl-C. */
import type { Command } from 'commander';
import { ENDING_CODES, jsonText } from '../../client/index.ts';
import type { ContextChange, ContextFilter, SyncError } from '../../client/index.ts';
import { addCommand, type CommandContext, type CommandRunner } from '../cli-context.ts';
import { UsageError } from '../exit-code.ts';
import { safeText } from '../output.ts';

interface WatchOptions {
  readonly prefix?: string;
  readonly tag?: string;
  readonly session?: string;
  readonly since?: string;
}

/** Adds the command. */
export function addWatch(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'watch [key]',
    summary: 'print changes as they come, until Ctrl-C; with --json, one JSON object per line',
    example: 'syncline context watch --prefix proj/',
  })
    .option('--prefix <prefix>', 'of all keys that begin so')
    .option('--tag <tag>', 'of contexts with this tag')
    .option('--session <id>', 'of contexts of this session')
    .option('--since <cursor>', 'begin after this cursor of the change feed instead of now');
  command.action((key: string | undefined) =>
    runner.run(command, async (context) => {
      await watch(context, filterOf(key, command.opts<WatchOptions>()));
      return undefined;
    }),
  );
}

/** @throws UsageError when more than one thing is named; nothing named means every key */
function filterOf(key: string | undefined, options: WatchOptions): ContextFilter {
  const { prefix, tag, session: sessionId, since } = options;
  const named = Object.entries({ key, prefix, tag, sessionId }).filter(
    ([, value]) => value !== undefined,
  );
  if (named.length > 1)
    throw new UsageError('name a key, --prefix, --tag or --session, one of them');
  const selector = named.length === 0 ? { prefix: '' } : Object.fromEntries(named);
  return { ...selector, ...(since === undefined ? {} : { since }) };
}

async function watch({ client, out, io }: CommandContext, filter: ContextFilter): Promise<void> {
  const stopped = interrupted();
  try {
    // Says at once when nobody is there; later the connection comes back by itself.
    await client.initialize();
    client.on('contextChange', (change) =>
      out.line(out.isJson ? jsonText(change) : textOf(change)),
    );
    await client.subscribe(filter);
    if (!out.isJson) io.stderr('Watching; Ctrl-C ends it.\n');
    // A key that is no longer good ends the watch; nothing would come any more.
    const refused = new Promise<never>((_resolve, reject) => {
      client.on('error', (error: SyncError) => {
        if (ENDING_CODES.has(error.code)) reject(error);
        else io.stderr(`${error.code}: ${error.message}\n`);
      });
    });
    await Promise.race([stopped.promise, refused]);
  } finally {
    stopped.forget();
  }
}

function textOf(change: ContextChange): string {
  const { timestamp, key, version, changeType, changedBy, reason } = change;
  const why = reason === undefined ? '' : ` (${reason})`;
  const by = changedBy === null ? '' : ` by ${changedBy}`;
  return safeText(`${timestamp}  ${key}  v${version}  ${changeType}${why}${by}`);
}

/** Ctrl-C, or a polite end: the command then ends like one that is done. */
function interrupted(): { readonly promise: Promise<void>; readonly forget: () => void } {
  let end: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => (end = resolve));
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, end);
  const forget = (): void => {
    for (const signal of signals) process.off(signal, end);
  };
  return { promise, forget };
}
