/** `syncline audit`: who changed what. */
import type { Command } from 'commander';
import type { AuditRow } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import { EXIT } from '../exit-code.ts';
import type { Output } from '../output.ts';
import { integerOption } from '../read-value.ts';
import { ofTenant, TENANT_OPTION } from './keys.ts';

interface Options {
  readonly limit: number;
  readonly action?: string;
  readonly actor?: string;
  readonly tenant?: string;
}

/** Adds the command. */
export function addAudit(program: Command, runner: CommandRunner): void {
  const command = addCommand(program, {
    usage: 'audit',
    summary: 'who changed what: keys, tenants, links, plans, conflicts',
    example: 'syncline audit --action link --limit 20',
  })
    .option('--action <action>', 'one act, or a group of them like `link` or `key`')
    .option('--actor <name>', 'what this key did')
    .option('--limit <n>', 'how many', integerOption(1), 50)
    .option(...TENANT_OPTION);
  command.action(() =>
    runner.run(command, async ({ client, out }) => {
      const { limit, action, actor, tenant } = command.opts<Options>();
      const { items } = await client.auditLog.list({
        limit,
        ...(action === undefined ? {} : { action }),
        ...(actor === undefined ? {} : { actor }),
        ...ofTenant(tenant),
      });
      out.show(items, () => printActs(out, items));
      return EXIT.done;
    }),
  );
}

function printActs(out: Output, acts: readonly AuditRow[]): void {
  if (acts.length === 0) return out.line('Nothing was changed.');
  out.table(
    ['WHEN', 'WHO', 'WHAT', 'TARGET', 'DETAIL'],
    acts.map((act) => [
      act.at,
      act.actor ?? '(keys off)',
      act.action,
      act.target,
      Object.keys(act.detail).length > 0 ? JSON.stringify(act.detail) : '',
    ]),
  );
}
