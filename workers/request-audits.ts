/** Asks for the audits whose time has come, a few at a time so that they spread. Safe to run twice at once. */
import type { AuditStore } from '../store/contract.ts';

/** Audits asked for per sweep: each reads a whole remote. */
const AT_ONCE = 20;

/** Answers how many were asked for. */
export async function requestAudits(
  audits: AuditStore,
  everyMs: number,
): Promise<{ requested: number }> {
  return { requested: await audits.requestDue({ limit: AT_ONCE, everyMs }) };
}
