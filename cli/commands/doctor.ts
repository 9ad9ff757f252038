/** `syncline doctor`: what is stuck, why, what to do; with --fix, what is safe to repair is repaired. */
import type { Command } from 'commander';
import { SyncError, type DoctorFinding, type DoctorReport } from '../../client/index.ts';
import { lookAround, type ServerSight, type Surroundings } from '../../dev/look-around.ts';
import { addCommand, type CommandContext, type CommandRunner } from '../cli-context.ts';
import type { Environment } from '../environment.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { safeText, type Output } from '../output.ts';

/** Adds the command. */
export function addDoctor(program: Command, runner: CommandRunner): void {
  const command = addCommand(program, {
    usage: 'doctor',
    summary: 'find whatever is stuck, and say why and what to do; exits 1 when something is left',
    example: 'syncline doctor --fix',
  }).option('--fix', 'repair what is safe to repair, then look again');
  command.action(() =>
    runner.run(command, async (context) => {
      const { fix = false } = command.opts<{ readonly fix?: boolean }>();
      try {
        const { doctor } = context.client;
        const report = fix ? await doctor.repair() : await doctor.examine();
        context.out.show(report, () => print(context.out, report, fix));
        return report.healthy ? EXIT.done : EXIT.failed;
      } catch (error) {
        if (!(error instanceof SyncError) || error.code !== 'UNREACHABLE') throw error;
        if (!context.io.environment.installation) throw error;
        return fromOutside(context, context.io.environment.installation);
      }
    }),
  );
}

function print(out: Output, report: DoctorReport, isFix: boolean): void {
  for (const { done, detail } of report.repairs) {
    const [color, word] = done ? (['green', 'fixed '] as const) : (['red', 'failed'] as const);
    out.line(`${out.paint(color, word)} ${safeText(detail)}`);
  }
  for (const finding of report.findings) printFinding(out, finding);
  out.line(serverLine(report));
  const { length: count } = report.findings;
  if (count === 0) return out.line(out.paint('green', 'Healthy: nothing is stuck.'));
  const fixable = report.findings.filter((finding) => finding.fixable).length;
  const hint = fixable > 0 && !isFix ? `, ${fixable} of them \`--fix\` repairs` : '';
  const left = report.repairs.length > 0 ? ' left' : '';
  out.line(out.paint('yellow', `${count} problem(s)${left}${hint}.`));
}

function printFinding(out: Output, { code, fixable, ...finding }: DoctorFinding): void {
  const mark = fixable ? out.paint('yellow', 'fixable') : out.paint('red', 'problem');
  out.line(`${mark} ${out.paint('bold', code)}  ${safeText(finding.explanation)}`);
  out.line(`        ${safeText(finding.advice)}`);
}

function serverLine({ servers, links, outbox, tookMs }: DoctorReport): string {
  const told = Object.entries(servers).map(([name, { status, version }]) =>
    status === 'up' ? `${name} ${version ?? ''}` : `${name} DOWN`,
  );
  const counts = links === null ? [] : [`${links} link(s)`];
  const waiting = outbox ? [`outbox ${outbox.waiting}`] : [];
  return `Looked at ${[...told, ...counts, ...waiting].join(' · ')} in ${tookMs} ms.`;
}

/** Nobody answers: what can be seen without the server. */
async function fromOutside(
  { out, url }: CommandContext,
  { home, servers }: NonNullable<Environment['installation']>,
): Promise<ExitCode> {
  const seen = await lookAround({ home, apiUrl: url, servers });
  const explanation = whyUnreachable(seen, url);
  out.show({ healthy: false, url, unreachable: true, explanation, ...seen }, () => {
    out.line(`${out.paint('red', 'problem')} ${out.paint('bold', 'SERVER_DOWN')}  ${explanation}`);
    for (const each of seen.servers) out.line(`  ${sightLine(each)}`);
    if (seen.freeBytes !== null)
      out.line(`  disk of ${seen.home}: ${Math.round(seen.freeBytes / 1024 ** 2)} MiB free`);
    if (seen.logFile) out.line(`  log: ${seen.logFile}`);
    out.line('Links and queues cannot be examined until the server answers.');
  });
  return EXIT.failed;
}

function whyUnreachable({ owner, home, isApiPortTaken }: Surroundings, url: string): string {
  if (owner) {
    const where = owner.url ? `says it answers at ${owner.url}` : 'is still starting';
    return `Syncline does not answer at ${url}, though process ${owner.pid} holds ${home} and ${where}: wait, or end that process and start it again.`;
  }
  if (isApiPortTaken)
    return `Something listens at ${url}, and it is not a Syncline that answers: another program has the port, or the server hangs.`;
  return `Syncline is not running at ${url}, and nothing listens there: start it with \`npm start\`.`;
}

function sightLine({ server, host, port, isEmbedded, isReachable }: ServerSight): string {
  const whose = isEmbedded ? 'embedded, as last started' : 'yours';
  const state = isReachable ? 'reachable' : 'nothing listens';
  const note = isEmbedded && !isReachable ? ' (as it should be while Syncline is stopped)' : '';
  return `${server} at ${host}:${port} (${whose}): ${state}${note}`;
}
