/** `syncline status`: the servers behind, and how each link is doing. */
import type { Command } from 'commander';
import type { Health, Link, LinkStatus } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import { EXIT } from '../exit-code.ts';
import type { Output } from '../output.ts';
import { pausedToo, stateCell } from './link-rows.ts';

/** Adds the command. */
export function addStatus(program: Command, runner: CommandRunner): void {
  const command = addCommand(program, {
    usage: 'status',
    summary: 'show whether it runs, and how each link is doing',
    example: 'syncline status',
  });
  command.action(() =>
    runner.run(command, async ({ client, out, url }) => {
      const health = await client.health();
      const links = health.status === 'unavailable' ? [] : await client.links.list();
      const rows = await Promise.all(
        links.map(async (link) => ({ link, status: await client.links.status(link.id) })),
      );
      const shown = rows.map(({ link, status }) => ({ name: link.name, ...status }));
      out.show({ url, health, links: shown }, () => print(out, url, health, rows));
      return health.status === 'unavailable' ? EXIT.failed : EXIT.done;
    }),
  );
}

interface Row {
  readonly link: Link;
  readonly status: LinkStatus;
}

function print(out: Output, url: string, health: Health, rows: readonly Row[]): void {
  const color = { ok: 'green', degraded: 'yellow', unavailable: 'red' } as const;
  const status = out.paint(color[health.status], health.status);
  out.line(`Syncline ${health.version} at ${url}: ${status}, up ${health.uptime} s`);
  for (const [name, check] of Object.entries(health.checks)) {
    if (check.status === 'down') out.line(`  ${name} is down: ${check.detail ?? 'no answer'}`);
  }
  if (rows.length === 0) {
    out.line('No links yet. Add one with `syncline link add`.');
    return;
  }
  out.table(
    ['LINK', 'STATE', 'GRADE', 'ITEMS', 'CONFLICTS', 'QUARANTINED', 'LAG', 'PROVED EQUAL'],
    rows.map(({ link, status: s }) => [
      link.name,
      stateCell(s.state),
      s.grade,
      s.items,
      s.conflicts,
      s.quarantined,
      `${Math.round(s.lagMs)} ms`,
      s.lastProvedEqualAt,
    ]),
  );
  for (const { link, status: s } of rows) {
    if (s.clockSkew) out.line(`${link.name}: a clock is off by ${s.skewMs} ms`);
    if (s.guard) out.line(`${link.name} is parked${pausedToo(s.state)}: ${s.guard.reason}`);
  }
}
