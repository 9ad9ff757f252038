/** The connectors' door: the port, the registry, and what each grade guarantees in plain words. */
import type { Grade } from './connector.ts';

export type {
  AnyConnectorType,
  ApplyOutcome,
  Connector,
  ConnectorCapabilities,
  ConnectorLog,
  ConnectorPermissions,
  ConnectorType,
  Grade,
  ObservePage,
  ObserveRequest,
  OpenContext,
  RemoteAbsence,
  RemoteEntry,
  RemoteFault,
  RemoteItem,
  RemoteOp,
} from './connector.ts';
export { holdsKind } from './connector.ts';
export {
  createRateLimiter,
  rateLimitSchema,
  type RateLimit,
  type RateLimiter,
} from './rate-limit.ts';
export { createConnectorRegistry, type ConnectorRegistry } from './registry.ts';

const GRADES: Readonly<Record<Grade, string>> = {
  A:
    'The remote checks versions on write, remembers what it has already done, and tells us what ' +
    'was deleted. No edit is lost, nothing is written twice, and deletes are known at once.',
  B:
    'The remote checks versions on write, so no edit is lost or overwritten. It does not tell ' +
    'what was deleted: a delete is known only after a complete scan that misses the item.',
  C:
    'The remote checks nothing. Between our read and our write, a write by somebody else can ' +
    'still be lost. We keep that moment short, let only one of our processes write to a remote ' +
    'at a time, write single changes instead of whole items where we can, read back and verify ' +
    'every write, and keep in history every body we overwrite. A delete counts only after two ' +
    'complete scans in a row have missed the item.',
};

/** What a grade guarantees, for people: shown with every connector and link. */
export function describeGrade(grade: Grade): string {
  return GRADES[grade];
}
export {
  createConnectorPool,
  type ConnectorPool,
  type ConnectorPoolDeps,
} from './connector-pool.ts';
