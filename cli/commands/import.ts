/** `syncline import`: takes what `syncline export` wrote. */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { Option, type Command } from 'commander';
import type { ImportOptions, ImportResult } from '../../client/index.ts';
import { addCommand, type CommandContext, type CommandRunner } from '../cli-context.ts';
import { EXIT, messageOf, UsageError } from '../exit-code.ts';
import { safeText, type Output } from '../output.ts';
import { createProgress } from '../progress.ts';

interface Options {
  readonly overwrite?: boolean;
  readonly mode?: NonNullable<ImportOptions['mode']>;
}

/** Adds the command. */
export function addImport(program: Command, runner: CommandRunner): void {
  const command = addCommand(program, {
    usage: 'import <file>',
    summary: 'take contexts from a file of JSON lines, also with gzip; - is standard input',
    example: 'syncline import contexts.json --overwrite',
  })
    .option(
      '--overwrite',
      'the file wins over contexts that are there; the same as --mode overwrite',
    )
    .addOption(
      new Option('--mode <mode>', 'what wins over contexts that are there (default: skip)').choices(
        ['skip', 'overwrite', 'newer'],
      ),
    );
  command.action((file: string) =>
    runner.run(command, async (context) => {
      const { overwrite, mode } = command.opts<Options>();
      if (overwrite && mode !== undefined && mode !== 'overwrite')
        throw new UsageError(`--overwrite and --mode ${mode} do not go together`);
      const wins = overwrite ? 'overwrite' : (mode ?? 'skip');
      const result = await importFrom(file, wins, context);
      context.out.show(result, () => print(context.out, result));
      return result.failed > 0 ? EXIT.failed : EXIT.done;
    }),
  );
}

async function importFrom(
  file: string,
  mode: NonNullable<ImportOptions['mode']>,
  { client, io }: CommandContext,
): Promise<ImportResult> {
  const { size, isGzip } = file === '-' ? { size: null, isGzip: false } : await lookAt(file);
  const source = file === '-' ? process.stdin : createReadStream(file);
  const progress = createProgress(io, 'Importing');
  let done = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const piece of source as AsyncIterable<Uint8Array>) {
      done += piece.length;
      if (size !== null) progress.at(done, size);
      yield piece;
    }
  }
  try {
    const body = Readable.toWeb(Readable.from(counted())) as ReadableStream<Uint8Array>;
    return await client.transfer.import(body, { mode, isGzip });
  } finally {
    progress.end();
  }
}

const GZIP = Buffer.from([0x1f, 0x8b]);

async function lookAt(file: string): Promise<{ size: number; isGzip: boolean }> {
  try {
    const handle = await open(file, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
      return { size: (await handle.stat()).size, isGzip: bytesRead === 2 && buffer.equals(GZIP) };
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${messageOf(error)}`);
  }
}

function print(out: Output, { imported, skipped, failed, errors }: ImportResult): void {
  out.line(`Imported ${imported} version(s), skipped ${skipped}, failed ${failed}.`);
  for (const { line, code, detail } of errors)
    out.line(`${out.paint('red', `line ${line}`)} ${code}  ${safeText(detail)}`);
  if (failed > errors.length) out.line(`… and ${failed - errors.length} more.`);
}
