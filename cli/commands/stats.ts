/** `syncline stats`: numbers about the contexts in the hub. */
import type { Command } from 'commander';
import type { Analytics } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import type { Output } from '../output.ts';

/** Adds the command. */
export function addStats(program: Command, runner: CommandRunner): void {
  const command = addCommand(program, {
    usage: 'stats',
    summary: 'count contexts, versions and what was done with them',
    example: 'syncline stats --session session-456',
  })
    .option('--session <id>', 'only of this session')
    .option('--agent <id>', 'only of this agent');
  command.action(() =>
    runner.run(command, async ({ client, out }) => {
      const { session, agent } = command.opts<{ session?: string; agent?: string }>();
      const stats = await client.analytics({ sessionId: session, agentId: agent });
      out.show(stats, () => print(out, stats));
    }),
  );
}

function print(out: Output, stats: Analytics): void {
  out.table(
    ['CONTEXTS', 'VERSIONS', 'BYTES', 'SESSIONS', 'AGENTS'],
    [[stats.contexts, stats.versions, stats.bytes, stats.sessions, stats.agents]],
  );
  const done = Object.entries(stats.operations).filter(([, count]) => count > 0);
  if (done.length > 0) out.line(`By change: ${done.map((each) => each.join(' ')).join(', ')}`);
  const { enabled, hitRatio } = stats.cache;
  out.line(enabled ? `Cache: ${Math.round(hitRatio * 100)} % hits` : 'Cache: off');
  if (stats.topKeys.length > 0) {
    out.line();
    out.table(
      ['MOST WRITTEN', 'VERSION', 'SIZE', 'UPDATED'],
      stats.topKeys.map((row) => [row.key, row.version, row.size, row.updatedAt]),
    );
  }
  if (stats.activity.length > 0) {
    out.line();
    out.table(
      ['DAY', 'VERSIONS MADE'],
      stats.activity.map(({ day, operations }) => [day, operations]),
    );
  }
}
