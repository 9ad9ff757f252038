/** Which remotes are probed, in bounded time, and what is said of those that fail. */
import { describe, expect, it } from 'vitest';
import { AppError } from '../../../domain/errors.ts';
import type { LinkId, TenantId } from '../../../domain/ids.ts';
import type { Link } from '../../../domain/link.ts';
import { checkRemotes, type ProbeLimits } from '../../../main/doctor/check-remotes.ts';
import { MAX_EXPLANATION } from '../../../main/doctor/problem.ts';
import type { LinkCondition } from '../../../store/contract.ts';
import { quietCondition, sampleLink } from '../../support/sample-link.ts';

type Services = Parameters<typeof checkRemotes>[0];

const TENANT = 'default' as TenantId;
const LIMITS: ProbeLimits = { timeoutMs: 5_000, atOnce: 2, beginWithinMs: 5_000 };

function condition(
  name: string,
  link: Partial<Link> = {},
  more: Partial<LinkCondition> = {},
): LinkCondition {
  return quietCondition(sampleLink({ id: name as LinkId, name, ...link }), more);
}

/** Remotes whose probe does what is given for the link of that name; the others answer at once. */
function remotes(probes: Record<string, () => Promise<void>> = {}): Services {
  const probed = async (name: string): Promise<void> => probes[name]?.();
  return {
    pool: { get: async (_: TenantId, { name }: Link) => ({ probe: () => probed(name) }) },
  } as unknown as Services;
}

const hangs = (): Promise<void> => new Promise<void>(() => undefined);
const failsWith = (text: string) => async (): Promise<void> => {
  throw new AppError('CONNECTOR_UNREACHABLE', text);
};

async function adviceOn(one: LinkCondition, services = remotes()): Promise<string> {
  const [found] = await checkRemotes(services, TENANT, [one], LIMITS);
  return found!.finding.advice;
}

describe('probing many remotes', () => {
  it('reports those that were probed, and names the rest in one finding when time is up', async () => {
    const names = Array.from({ length: 40 }, (_, nth) => `slow${String(nth).padStart(2, '0')}`);
    const services = remotes({
      ...Object.fromEntries(names.map((name) => [name, hangs])),
      broken: failsWith('nobody there'),
    });
    const all = [...names.map((name) => condition(name)), condition('broken', { state: 'failed' })];
    const found = await checkRemotes(services, TENANT, all, {
      timeoutMs: 20,
      atOnce: 2,
      beginWithinMs: 60,
    });
    const findings = found.map(({ finding }) => finding);
    expect(findings.at(-1)!.code).toBe('MORE_FOUND');
    const probed = findings.slice(0, -1);
    expect(probed.every(({ code }) => code === 'REMOTE_FAILS')).toBe(true);
    expect(probed[0]).toMatchObject({ link: 'broken' });
    expect(probed.length).toBeGreaterThan(1);
    const left = all.length - probed.length;
    const { explanation } = findings.at(-1)!;
    expect(left).toBeGreaterThan(0);
    expect(explanation).toContain(`The remotes of ${left} link(s) were not reached in time`);
    for (const name of names.slice(-left).slice(0, 20)) expect(explanation).toContain(name);
    if (left > 20) expect(explanation).toContain(`and ${left - 20} more`);
  });

  it('says nothing more when all of them answer', async () => {
    const all = Array.from({ length: 300 }, (_, nth) => condition(`l${nth}`));
    expect(await checkRemotes(remotes(), TENANT, all, LIMITS)).toEqual([]);
  });

  it('cuts what a remote says when it fills pages', async () => {
    const services = remotes({ talkative: failsWith('😀'.repeat(9_000)) });
    const [found] = await checkRemotes(services, TENANT, [condition('talkative')], LIMITS);
    const { explanation } = found!.finding;
    expect(Array.from(explanation).length).toBeLessThan(MAX_EXPLANATION + 40);
    expect(explanation).toMatch(/😀… \(8\d{3} characters more\)$/u);
    expect(explanation).not.toMatch(/\p{Surrogate}/u);
  });
});

describe('what happens next to a link that failed', () => {
  it('is told by its trigger: one that runs only when asked does not try again by itself', async () => {
    const manual = condition('m', { state: 'failed', trigger: 'manual' }, { overdueMs: 9_000 });
    const asked = 'It runs only when asked: mend the cause, then `syncline sync run m`.';
    expect(await adviceOn(manual)).toBe(asked);
    const out = remotes({ m: failsWith('gone') });
    expect(await adviceOn(manual, out)).toContain('then `syncline sync run m`: it runs only when');
    expect(await adviceOn(condition('m'), out)).toContain('tries again by itself');
  });

  it('is told in seconds while they lie ahead', async () => {
    const failed = (overdueMs: number) => condition('a', { state: 'failed' }, { overdueMs });
    expect(await adviceOn(failed(-12_000))).toContain('(in 12 s)');
    expect(await adviceOn(failed(700))).toContain('(with one of the next pulses)');
  });
});
