/**
 * Foreign clocks, with bounded skew. A time somebody else wrote feeds the `latest` strategy; it never
 * decides what has changed (03-sync, "Data"). A link's status tells of a remote whose clock is ahead.
 */

/** How far ahead of us another clock may be before we stop believing it: 5 minutes. */
export const MAX_SKEW_MS = 300_000;

/**
 * A foreign time as we take it, ms since the epoch: one from further ahead than the bound counts as
 * the moment it was looked at.
 */
export function boundTime(ms: number, lookedAtMs: number, maxSkewMs = MAX_SKEW_MS): number {
  return ms > lookedAtMs + maxSkewMs ? lookedAtMs : ms;
}
