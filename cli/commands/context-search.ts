/** `syncline context search` */
import type { Command } from 'commander';
import type { SearchAnswer, SearchHit, SearchOptions } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import { UsageError } from '../exit-code.ts';
import type { Output } from '../output.ts';
import { collect, integerOption } from '../read-value.ts';

const MAX_LIMIT = 100;

interface Given {
  readonly prefix?: string;
  readonly tag?: readonly string[];
  readonly session?: string;
  readonly agent?: string;
  readonly kind?: string;
  readonly mode?: NonNullable<SearchOptions['mode']>;
  readonly limit: number;
  readonly cursor?: string;
}

/** Adds the command to `syncline context`. */
export function addSearch(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'search <query...>',
    summary: 'find contexts by the words of a question',
    example: 'syncline context search what did we decide about the API',
  })
    .option('--prefix <prefix>', 'start of the keys')
    .option('--tag <tag>', 'only with this tag; may be repeated', collect)
    .option('--session <id>', 'only of this session')
    .option('--agent <id>', 'only of this agent')
    .option('--kind <kind>', 'only of this kind')
    .option('--mode <mode>', 'text, semantic or hybrid (text)')
    .option('--limit <n>', `how many at most, up to ${MAX_LIMIT}`, integerOption(1), 10)
    .option('--cursor <cursor>', 'go on where the page before ended');
  command.action((words: readonly string[]) =>
    runner.run(command, async ({ client, out }) => {
      const { tag, session, agent, limit, prefix, kind, mode, cursor } = command.opts<Given>();
      if (limit > MAX_LIMIT) throw new UsageError(`--limit is at most ${MAX_LIMIT}`);
      const answer = await client.search(words.join(' '), {
        limit,
        ...(prefix === undefined ? {} : { prefix }),
        ...(kind === undefined ? {} : { kind }),
        ...(mode === undefined ? {} : { mode }),
        ...(cursor === undefined ? {} : { cursor }),
        ...(tag === undefined ? {} : { tags: tag }),
        ...(session === undefined ? {} : { sessionId: session }),
        ...(agent === undefined ? {} : { agentId: agent }),
      });
      out.show(answer, () => printHits(out, answer));
    }),
  );
}

function printHits(
  out: Output,
  { results, total, totalIsExact, took, nextCursor, pending }: SearchAnswer,
): void {
  if (pending !== undefined)
    out.line(`${pending} contexts of a sync cannot be found yet; try again in a moment.`);
  if (results.length === 0) return out.line('Nothing found.');
  out.table(
    ['SCORE', 'KEY', 'VERSION', 'WHERE'],
    results.map((hit) => [hit.score.toFixed(2), hit.key, hit.version, excerptOf(hit)]),
  );
  out.line(`${totalIsExact ? total : `at least ${total}`} found in ${took} ms.`);
  if (nextCursor !== null) out.line(`There are more: --cursor ${nextCursor}`);
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
};

/** The excerpt as plain text, what was found in brackets. */
function excerptOf({ highlight }: SearchHit): string | null {
  return (
    highlight
      ?.replace(/<\/?mark>/g, (tag) => (tag === '<mark>' ? '[' : ']'))
      .replace(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity]!) ?? null
  );
}
