/** Links as the commands print them. */
import type { Link, LinkStatus, QuarantinedItem, Run } from '../../client/index.ts';
import { prettyJson, safeText, type Output, type Painted } from '../output.ts';

const STATE_COLORS = { active: 'green', paused: 'dim', parked: 'yellow', failed: 'red' } as const;

/** Items set aside that are listed with a link. */
const MAX_SHOWN = 20;

/** A link's state in its colour, for tables. */
export function stateCell(state: Link['state']): Painted {
  return { text: state, color: STATE_COLORS[state] };
}

/** All links, one a row. */
export function printLinks(out: Output, links: readonly Link[]): void {
  if (links.length === 0) return out.line('No links yet. Add one with `syncline link add`.');
  out.table(
    ['NAME', 'CONNECTOR', 'PREFIX', 'DIRECTION', 'STRATEGY', 'STATE', 'ID'],
    links.map((link) => [
      link.name,
      link.connector,
      link.scope.prefix,
      link.direction,
      link.strategy,
      stateCell(link.state),
      link.id,
    ]),
  );
}

/** A link with its status, what it set aside, and its newest run. */
export type WholeLink = Link & {
  readonly status: LinkStatus;
  readonly quarantined: readonly QuarantinedItem[];
  readonly newestRun: Run | null;
};

/** One link, how it is doing, and why when it is not doing well. */
export function printLink(out: Output, link: WholeLink): void {
  const { status, quarantined, newestRun } = link;
  out.line(
    `${out.paint('bold', link.name)}  ${out.paint(STATE_COLORS[link.state], link.state)}  ${link.id}`,
  );
  out.line(`connector   ${link.connector} (grade ${link.grade ?? 'unknown'})`);
  if (status.guarantee !== null) out.line(`guarantees  ${status.guarantee}`);
  out.line(`config      ${safeText(JSON.stringify(link.config))}`);
  out.line(`prefix      ${link.scope.prefix}`);
  out.line(`policy      ${link.direction}, ${link.strategy}, epoch ${link.epoch}`);
  out.line(`runs        ${link.trigger}, every ${link.intervalMs} ms without a hint`);
  const fallback = link.conflictFallback;
  if (fallback)
    out.line(`conflicts   decided by ${fallback.strategy} after ${fallback.afterMs} ms`);
  const { items, conflicts, held, lagMs } = status;
  const resting = held > 0 ? `, ${held} held since an undo` : '';
  out.line(
    `items       ${items}, ${conflicts} in conflict, ${quarantined.length} quarantined${resting}`,
  );
  out.line(
    `lag         ${Math.round(lagMs)} ms; proved equal ${status.lastProvedEqualAt ?? 'never'}`,
  );
  const { proof } = status;
  if (proof) {
    const apart = [
      [proof.unequal, 'unequal'],
      [proof.conflicts, 'in conflict'],
      [proof.quarantined, 'quarantined'],
      [proof.held, 'held'],
      [proof.excluded, 'excluded'],
      [proof.expired, 'expired on one side'],
      [proof.oneWay, 'left alone (one-way)'],
      [proof.underWay, 'under way'],
    ] as const;
    const told = apart.flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : []));
    out.line(`audit       ${[`${proof.items} equal`, ...told].join(', ')} at ${proof.at}`);
  }
  if (status.clockSkew) {
    out.line(out.paint('yellow', `clock       off by ${status.skewMs} ms: times may mislead`));
  }
  if (link.state === 'failed' && newestRun?.error) {
    const { code, detail } = newestRun.error;
    out.line(out.paint('red', `failed: ${code}: ${safeText(detail)}`));
  }
  if (status.guard) printGuard(out, status.guard, link.state);
  for (const item of quarantined.slice(0, MAX_SHOWN)) {
    out.line(`  ${item.code} ${safeText(item.remoteId ?? item.key)}: ${safeText(item.detail)}`);
  }
  const more = quarantined.length - MAX_SHOWN;
  if (more > 0) out.line(`  and ${more} more: syncline link show ${link.name} --quarantined`);
}

/** Words that say that a parked link is paused on top of it. */
export function pausedToo(state: Link['state'] | null): string {
  return state === 'paused' ? ', and paused' : '';
}

/** Why a run was parked, and what can be done; `state`: of its link, where it is known. */
export function printGuard(
  out: Output,
  guard: NonNullable<Link['guard']>,
  state: Link['state'] | null = null,
): void {
  const head = `parked by ${guard.code}${pausedToo(state)}`;
  out.line(out.paint('yellow', `${head}: ${safeText(guard.reason)}`));
  if (guard.planId !== undefined) {
    out.line(`  see it:     syncline sync show ${guard.planId}`);
    out.line(`  allow it:   syncline sync approve ${guard.planId} --wait`);
  }
  const resumed = state === 'paused' ? 'resume the link, ' : '';
  out.line(`  or undo what caused it, ${resumed}and start a run: it looks again;`);
  out.line('  `syncline link reset` writes back what the remote lost and deletes nothing');
}

/** A value under a title, indented. */
export function printValue(out: Output, title: string, value: unknown): void {
  const text = value === null ? '(no such item)' : prettyJson(value);
  out.line(out.paint('bold', title));
  for (const line of text.split('\n')) out.line(`  ${safeText(line)}`);
}
