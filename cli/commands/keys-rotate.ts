/** `syncline keys rotate`: a new key for encrypted contexts, and how far the old one is retired. */
import type { Command } from 'commander';
import type { Rotation } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import { EXIT } from '../exit-code.ts';
import type { Output } from '../output.ts';

interface Options {
  readonly status?: boolean;
  readonly tenant?: string;
}

/** Adds the command to the group `keys`. */
export function addKeysRotate(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'rotate',
    summary: 'seal encrypted contexts with a new key, in the background',
    example: 'syncline keys rotate',
  })
    .option('--status', 'change nothing, only show how far it is')
    .option('--tenant <id>', 'another tenant than your own; needs the scope root');
  command.action(() =>
    runner.run(command, async ({ client, out }) => {
      const { status = false, tenant } = command.opts<Options>();
      const of = tenant === undefined ? {} : { tenant };
      const { encryption } = client;
      const rotation = status ? await encryption.rotation(of) : await encryption.rotate(of);
      out.show(rotation, () => print(out, rotation));
      return EXIT.done;
    }),
  );
}

function print(out: Output, { state, current, retiring, master }: Rotation): void {
  out.line(current ? `Current key ${current.id}, since ${current.createdAt}.` : 'No key yet.');
  for (const { id, bodies, left } of retiring) {
    out.line(`Retiring ${id}: ${bodies - left} of ${bodies} bodies are sealed anew.`);
  }
  if (state === 'idle') out.line('Nothing is sealed with an older key.');
  if (master.keysToRewrap > 0) {
    out.line(`${master.keysToRewrap} key(s) are still wrapped by an older master key.`);
  }
}
