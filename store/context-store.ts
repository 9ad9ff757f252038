/**
 * Contexts and their history. An acknowledged write is committed whole: row, version, blob,
 * change-feed row and outbox row. Version numbers of a key never repeat, not even after a delete.
 */
import type { Clock } from '../domain/clock.ts';
import type { Caller } from '../domain/context.ts';
import { draftBatch, runBatch } from './context-batch.ts';
import { createContextDiff } from './context-diff.ts';
import { createContextReads } from './context-reads.ts';
import { DEFAULT_TTL_S } from './context-rows.ts';
import {
  beginWriting,
  draftBody,
  type Writing,
  type WritingDeps,
  type WritingRules,
} from './context-writing.ts';
import type { ContextStore } from './contract.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Bodies } from './crypto/bodies.ts';
import type { Database } from './database.ts';
import { rememberWrite } from './idempotency.ts';

export interface ContextStoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly bodies: Bodies;
  /** Bytes of compact JSON one context's data may have. */
  readonly maxContextBytes: number;
  /** Seconds a context lives when its writer said nothing, a day by default; null: for ever. */
  readonly defaultTtlS?: number | null | undefined;
  /** Called after each commit, so that the relay need not poll. */
  readonly onCommitted: () => void;
}

export function createContextStore(deps: ContextStoreDeps): ContextStore {
  const { database, clock, bodies, maxContextBytes, defaultTtlS = DEFAULT_TTL_S } = deps;
  const rules: WritingRules = { bodies, maxContextBytes, defaultTtlS };

  /** One transaction; with it the answer is kept that its result will be given. */
  async function write<T>(caller: Caller, work: (on: WritingDeps) => Promise<T>): Promise<T> {
    const result = await database.withTenant(caller.tenant, (tx) =>
      work({ ...rules, tx, caller, clock }),
    );
    deps.onCommitted();
    return result;
  }

  const remember = (on: WritingDeps, result: unknown): Promise<void> =>
    rememberWrite(on.tx, { caller: on.caller, result, at: clock.now() });

  /** The same for one context: two round trips, the row it locks and all that it writes. */
  async function writeKey<T>(
    caller: Caller,
    key: ContextKey,
    step: (writing: Writing) => Promise<T> | T,
  ): Promise<T> {
    return write(caller, async (on) => {
      const writing = await beginWriting(on, { written: [key] });
      const result = await step(writing);
      await remember(on, result);
      await writing.commit();
      return result;
    });
  }

  return {
    ...createContextReads(deps),
    diff: createContextDiff(deps),

    async store(caller, stored) {
      const draft = await draftBody(rules, stored.data, stored.options.compress);
      return writeKey(caller, stored.key, (writing) => writing.store(stored, draft));
    },
    update: (caller, update) =>
      writeKey(caller, update.key, (writing) => writing.update(update, null)),
    rollback: (caller, rollback) =>
      writeKey(caller, rollback.key, (writing) => writing.rollback(rollback)),
    delete: (caller, deleted) =>
      writeKey(caller, deleted.key, (writing) => writing.delete(deleted)),

    async batch(caller, { atomic, operations }) {
      const drafts = await draftBatch(rules, operations);
      return write(caller, async (on) => {
        const outcomes = await runBatch(on, { atomic, operations, drafts });
        await remember(on, outcomes);
        return outcomes;
      });
    },
  };
}
