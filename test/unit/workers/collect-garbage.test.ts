import { describe, expect, it } from 'vitest';
import type { TenantId } from '../../../domain/ids.ts';
import type { Collected, RetentionPolicy } from '../../../store/contract.ts';
import { collectGarbage } from '../../../workers/collect-garbage.ts';
import { requestAudits } from '../../../workers/request-audits.ts';

const POLICY: RetentionPolicy = {
  keepDeletedMs: 1,
  horizonMs: 2,
  maxVersions: 3,
  keepRunsMs: 4,
  keepRunsPerLink: 5,
  keepAuditMs: 6,
  blobGraceMs: 7,
};
const some: Collected = {
  runs: 1,
  conflicts: 2,
  audit: 3,
  changes: 4,
  items: 5,
  contexts: 6,
  versions: 7,
  blobs: 8,
};

describe('collecting garbage', () => {
  it('goes through every tenant with the policy, and adds up what went', async () => {
    const asked: unknown[] = [];
    const retention = {
      tenants: async () => ['a', 'b'] as TenantId[],
      collect: async (tenant: TenantId, policy: RetentionPolicy) => {
        asked.push([tenant, policy]);
        return some;
      },
    };
    const total = await collectGarbage(retention, POLICY);
    expect(asked).toEqual([
      ['a', POLICY],
      ['b', POLICY],
    ]);
    expect(total).toEqual({
      runs: 2,
      conflicts: 4,
      audit: 6,
      changes: 8,
      items: 10,
      contexts: 12,
      versions: 14,
      blobs: 16,
    });
  });
});

describe('asking for audits', () => {
  it('asks for a few at a time, at the configured interval', async () => {
    const asked: unknown[] = [];
    const audits = {
      request: async () => Promise.reject(new Error('not asked for')),
      requestDue: async (bounds: { limit: number; everyMs: number }) => {
        asked.push(bounds);
        return 3;
      },
    };
    expect(await requestAudits(audits, 1234)).toEqual({ requested: 3 });
    expect(asked).toEqual([{ limit: 20, everyMs: 1234 }]);
  });
});
