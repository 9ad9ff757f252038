/** `syncline sync wait`: what became of exactly one write. */
import type { Command } from 'commander';
import type { WriteOutcome } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import { EXIT, UsageError, type ExitCode } from '../exit-code.ts';
import { safeText, type Output } from '../output.ts';
import { secondsOption } from '../read-value.ts';

/** The server waits at most this long per call. */
const MAX_WAIT_MS = 30_000;

/** Adds the command. */
export function addWait(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'wait <link> <key> <version>',
    summary:
      'wait until a write is on the other side; exits 4 on a conflict, 1 when it will not be',
    example: 'syncline sync wait project proj/alice 3 --timeout 60',
  }).option(
    '--timeout <time>',
    'give up after so long, in seconds or like 90s, 5m',
    secondsOption(0),
    30,
  );
  command.action((link: string, key: string, version: string) =>
    runner.run(command, async ({ client, out }) => {
      if (!/^[1-9]\d{0,9}$/.test(version)) {
        throw new UsageError('the version is a whole number, as `context put` told it');
      }
      const { timeout } = command.opts<{ readonly timeout: number }>();
      const write = { linkId: link, key, version: Number(version) };
      let outcome: WriteOutcome;
      let leftMs = timeout * 1000;
      do {
        const timeoutMs = Math.min(leftMs, MAX_WAIT_MS);
        outcome = await client.runs.waitForWrite({ ...write, timeoutMs });
        leftMs -= timeoutMs;
      } while (outcome.outcome === 'timeout' && leftMs > 0);
      out.show(outcome, () => printOutcome(out, key, outcome));
      return EXITS[outcome.outcome];
    }),
  );
}

const EXITS: Readonly<Record<WriteOutcome['outcome'], ExitCode>> = {
  accepted: EXIT.done,
  merged: EXIT.done,
  conflict: EXIT.conflicts,
  rejected: EXIT.failed,
  timeout: EXIT.failed,
};

function printOutcome(out: Output, key: string, outcome: WriteOutcome): void {
  const at = outcome.version === undefined ? '' : ` (version ${outcome.version})`;
  const why = outcome.detail === undefined ? '' : `: ${safeText(outcome.detail)}`;
  out.line(`\`${safeText(key)}\` ${outcome.outcome}${at}${why}`);
  if (outcome.conflictId !== undefined) {
    out.line(`See: syncline conflicts show ${outcome.conflictId}`);
  }
}
