/** `syncline tenants …` */
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ContextClient, Tenant } from '../../client/index.ts';
import { addCommand, addGroup, type CommandRunner } from '../cli-context.ts';
import { EXIT, UsageError } from '../exit-code.ts';
import { safeText, type Output } from '../output.ts';
import { integerOption } from '../read-value.ts';

/** Between two calls of a removal: the server waits for requests it let in before. */
const PAUSE_MS = 2_000;

/** Adds the group. */
export function addTenants(program: Command, runner: CommandRunner): void {
  const group = addGroup(program, {
    usage: 'tenants',
    summary: 'tenants (needs a key with the scope root)',
    example: 'syncline tenants list',
  });
  addCreate(group, runner);
  addList(group, runner);
  addRemove(group, runner);
}

function addCreate(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'create <tenant>',
    summary: 'make a tenant',
    example: 'syncline tenants create acme --name "Acme Ltd"',
  }).option('--name <name>', 'what people call it (default: its id)');
  command.action((id: string) =>
    runner.run(command, async ({ client, out }) => {
      const { name } = command.opts<{ readonly name?: string }>();
      const tenant = await client.tenants.create({ id, ...(name === undefined ? {} : { name }) });
      out.show(tenant, () => {
        out.line(`${tenant.id} is there`);
        out.line(`a key for it: syncline keys create <name> --scope admin --tenant ${tenant.id}`);
      });
      return EXIT.done;
    }),
  );
}

function addList(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'list',
    summary: 'tenants, by id',
    example: 'syncline tenants list',
  }).option('--limit <n>', 'how many', integerOption(1), 100);
  command.action(() =>
    runner.run(command, async ({ client, out }) => {
      const { limit } = command.opts<{ readonly limit: number }>();
      const { items } = await client.tenants.list({ limit });
      out.show(items, () => printTenants(out, items));
      return EXIT.done;
    }),
  );
}

function printTenants(out: Output, tenants: readonly Tenant[]): void {
  out.table(
    ['ID', 'NAME', 'SINCE', 'BEING REMOVED SINCE'],
    tenants.map((tenant) => [tenant.id, tenant.name, tenant.createdAt, tenant.removingAt]),
  );
}

interface RemoveOptions {
  readonly force?: boolean;
  readonly yes?: boolean;
}

function addRemove(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'remove <tenant>',
    summary: 'remove a tenant; with --force all of its data',
    example: 'syncline tenants remove acme --force',
  })
    .option('--force', 'its data, too; this cannot be undone')
    .option('--yes', 'do not ask');
  command.action((id: string) =>
    runner.run(command, async ({ client, io, out }) => {
      const { force = false, yes = false } = command.opts<RemoveOptions>();
      if (force && !yes && io.isStdinTerminal && io.confirm) {
        const question = `Remove ${safeText(id)} with all of its contexts, links and keys?`;
        if (!(await io.confirm(question))) throw new UsageError('nothing was removed');
      }
      const rows = await removeWhole(client, id, force);
      const result = { id, removed: true, rows };
      out.show(result, () => out.line(`${safeText(id)} is removed (${rows} rows)`));
      return EXIT.done;
    }),
  );
}

/** Removes until nothing is left. Answers how many rows went. */
async function removeWhole(client: ContextClient, id: string, force: boolean): Promise<number> {
  for (let rows = 0; ;) {
    const done = await client.tenants.remove(id, { force });
    rows += done.rows;
    if (done.removed) return rows;
    if (done.rows === 0) await delay(PAUSE_MS);
  }
}
