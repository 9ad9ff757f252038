/** `syncline export`: contexts with their history, into a file or to standard output. */
import { once } from 'node:events';
import type { Command } from 'commander';
import { SyncError } from '../../client/index.ts';
import { addCommand, type CommandContext, type CommandRunner } from '../cli-context.ts';
import { createProgress } from '../progress.ts';
import { collect } from '../read-value.ts';
import { requireFree, writeWholeFile } from '../whole-file.ts';

interface Options {
  readonly prefix?: string;
  readonly tag?: readonly string[];
  readonly decrypt?: boolean;
  readonly force?: boolean;
}

interface Counts {
  lines: number;
  /** What the manifest promises. */
  versions: number;
  encryptedLeftOut: number;
}

/** Adds the command. */
export function addExport(program: Command, runner: CommandRunner): void {
  const command = addCommand(program, {
    usage: 'export <file>',
    summary: 'write all contexts with their history to a file (JSON lines); - is standard output',
    example: 'syncline export contexts.json --prefix proj/',
  })
    .option('--prefix <prefix>', 'only keys that begin so')
    .option('--tag <tag>', 'only contexts that have it; may be repeated', collect, [])
    .option('--decrypt', 'encrypted data in clear (needs an admin key); else it is left out')
    .option('--force', 'replace a file of that name; without it that is refused');
  command.action((file: string) =>
    runner.run(command, async (context) => {
      const counts = await exportTo(file, command.opts<Options>(), context);
      if (file === '-') return;
      const { out } = context;
      const { versions, encryptedLeftOut } = counts;
      out.show({ file, versions, encryptedLeftOut }, () => {
        out.line(`Exported ${versions} version(s) to ${file}.`);
        if (encryptedLeftOut > 0)
          out.line(`${encryptedLeftOut} encrypted version(s) are not in it; see --decrypt.`);
      });
    }),
  );
}

async function exportTo(
  file: string,
  { force: isForced = false, ...options }: Options,
  { client, io }: CommandContext,
): Promise<Counts> {
  if (file !== '-') await requireFree(file, { isForced });
  const stream = await client.transfer.export(options);
  const counts: Counts = { lines: 0, versions: -1, encryptedLeftOut: 0 };
  const progress = createProgress(io, 'Exporting');
  const pieces = counted(stream, counts, () => progress.at(counts.lines, counts.versions));
  try {
    if (file === '-') await print(pieces);
    else await writeWholeFile(file, pieces, { isForced });
    return counts;
  } finally {
    progress.end();
  }
}

/** The pieces as they come; at the end they must be as many lines as the manifest says. */
async function* counted(
  stream: ReadableStream<Uint8Array>,
  counts: Counts,
  onPiece: () => void,
): AsyncGenerator<Uint8Array> {
  let first: string | null = '';
  const decoder = new TextDecoder();
  for await (const piece of stream) {
    if (first !== null) {
      first += decoder.decode(piece, { stream: true });
      if (first.includes('\n')) {
        Object.assign(counts, manifestOf(first.slice(0, first.indexOf('\n'))));
        first = null;
        counts.lines -= 1;
      }
    }
    for (const byte of piece) if (byte === LINE_FEED) counts.lines += 1;
    onPiece();
    yield piece;
  }
  if (counts.lines !== counts.versions) throw cutOff();
}

const LINE_FEED = 0x0a;

function manifestOf(line: string): Pick<Counts, 'versions' | 'encryptedLeftOut'> {
  const { versions, encryptedLeftOut } = JSON.parse(line) as Counts;
  return { versions, encryptedLeftOut };
}

function cutOff(): SyncError {
  const message = 'The export broke off before its end; nothing was kept. Try again.';
  return new SyncError(message, { code: 'BAD_ANSWER', status: 200 });
}

async function print(pieces: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of pieces) {
    if (!process.stdout.write(piece)) await once(process.stdout, 'drain');
  }
}
