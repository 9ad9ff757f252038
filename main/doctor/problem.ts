/** A finding with the repair that goes with it, if there is one that is safe. */
import type { DoctorFinding } from '../../api/contract.ts';
import type { Link } from '../../domain/link.ts';

export interface Repair {
  /** Repairs with one name are one: several findings may call for the same wake. */
  readonly name: string;
  /** Answers what was done, in a sentence. */
  readonly act: () => Promise<string>;
}

export interface Problem {
  readonly finding: DoctorFinding;
  readonly repair: Repair | null;
}

type Told = Pick<DoctorFinding, 'code' | 'explanation' | 'advice'>;

/** Longest explanation, code points: what a remote said may fill pages, and the first lines tell. */
export const MAX_EXPLANATION = 600;

/** A problem of the installation, or of a link; a long explanation is cut. */
export function problem(
  told: Told,
  more: { link?: Pick<Link, 'id' | 'name'>; key?: string; repair?: Repair | null } = {},
): Problem {
  const { link, key = null, repair = null } = more;
  return {
    finding: {
      ...told,
      explanation: brief(told.explanation),
      fixable: repair !== null,
      linkId: link?.id ?? null,
      link: link?.name ?? null,
      key,
    },
    repair,
  };
}

function brief(text: string): string {
  const points = Array.from(text);
  const more = points.length - MAX_EXPLANATION;
  return more <= 0
    ? text
    : `${points.slice(0, MAX_EXPLANATION).join('')}… (${more} characters more)`;
}

/** A span of time, for people. */
export function span(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
