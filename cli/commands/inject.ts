/** `syncline context inject`: what a droid's SessionStart hook runs. It never fails a session. */
import type { Command } from 'commander';
import type { Context, ContextClient } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import { compileContext } from '../compile-context.ts';
import { messageOf } from '../exit-code.ts';
import { integerOption } from '../read-value.ts';

const DEFAULT_PREFIX = 'memory/';
/** About 6,000 tokens: enough to be useful, little enough to start with. */
const DEFAULT_MAX_BYTES = 24_576;
/** The hook's own time limit is 15 s; an answer without context must come before that. */
const DEADLINE_MS = 8_000;
const MAX_CONTEXTS = 1_000;
const AT_ONCE = 8;

/** Adds the command to `syncline context`. */
export function addInject(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'inject',
    summary: "print the contexts of a prefix as a SessionStart hook's answer; always exits 0",
    example: 'syncline context inject --prefix proj/',
  })
    .option('--prefix <prefix>', 'start of the keys to bring in', DEFAULT_PREFIX)
    .option(
      '--max-bytes <n>',
      'most bytes of text; what does not fit is left out whole',
      integerOption(1),
      DEFAULT_MAX_BYTES,
    );
  command.action(() =>
    runner.run(command, async ({ client, io }) => {
      const { prefix, maxBytes } = command.opts<{ prefix: string; maxBytes: number }>();
      const text = await compiled(client, { prefix, maxBytes }).catch((error: unknown) => {
        io.stderr(`syncline: this session starts without shared context: ${messageOf(error)}\n`);
        return '';
      });
      io.stdout(`${JSON.stringify(answerOf(text))}\n`);
    }),
  );
}

/** The form a SessionStart hook answers in. */
function answerOf(additionalContext: string) {
  return { hookSpecificOutput: { hookEventName: 'SessionStart', additionalContext } };
}

async function compiled(
  client: ContextClient,
  { prefix, maxBytes }: { prefix: string; maxBytes: number },
): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  try {
    const contexts = await Promise.race([newest(client, { prefix, maxBytes }), late]);
    return compileContext(contexts, maxBytes).text;
  } finally {
    clearTimeout(timer);
  }
}

/** Contexts with their data, the last changed first. One too large for the budget is not fetched. */
async function newest(
  client: ContextClient,
  { prefix, maxBytes }: { prefix: string; maxBytes: number },
): Promise<readonly Context[]> {
  const { items } = await client.list({ prefix, limit: MAX_CONTEXTS });
  const wanted = items
    .filter(({ encrypted, size }) => !encrypted && size <= maxBytes)
    .sort((a, b) => (a.updatedAt < b.updatedAt ? 1 : a.updatedAt > b.updatedAt ? -1 : 0));
  const found: (Context | null)[] = [];
  let bytes = 0;
  // What is far beyond the budget would only be left out again.
  for (let at = 0; at < wanted.length && bytes < maxBytes * 2; at += AT_ONCE) {
    const page = wanted.slice(at, at + AT_ONCE);
    bytes += page.reduce((sum, { size }) => sum + size, 0);
    found.push(...(await Promise.all(page.map(({ key }) => client.get(key)))));
  }
  return found.filter((context) => context !== null);
}
