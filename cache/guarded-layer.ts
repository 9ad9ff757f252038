/**
 * A layer on the other side of a network, made safe to ask: whatever hangs costs a read its soft
 * deadline at most, and nothing once the breaker is open. What could not be deleted is remembered, and
 * the layer is not read again before it is; so a layer that comes back never gives an old value.
 */
import { withDeadline } from '../domain/with-deadline.ts';
import { NOTHING, type CacheLayer } from './layer.ts';

export interface GuardOptions {
  /** Longest a read waits, ms. */
  readonly softMs?: number;
  /** Longest a write waits, ms. */
  readonly hardMs?: number;
  /** Reads in a row that fail before the breaker opens. A delete that fails opens it at once. */
  readonly maxFailures?: number;
  /** Pause between probes while it is open, ms; ± 25 %. */
  readonly retryMs?: number;
  /**
   * Makes the layer right again before it is read: it may have lost its newest writes. `hasForgotten`:
   * more deletes failed than are remembered, so all it holds must go. It is skipped until this resolves.
   */
  readonly recover?: (hasForgotten: boolean) => Promise<void>;
  /** Told when the breaker opens or closes. Must not throw. */
  readonly onChange?: (isOpen: boolean) => void;
  /** 0 to 1; spreads probes. */
  readonly random: () => number;
}

export interface GuardedLayer extends CacheLayer {
  isOpen(): boolean;
  /**
   * Skips it from now on, until it answers and is made right again: its connection broke, say. With
   * `hasForgotten` it lost newest writes for certain.
   */
  distrust(options?: { readonly hasForgotten?: boolean; readonly probeAfterMs?: number }): void;
  /** No probe runs any more. */
  stop(): void;
}

const DEFAULTS = { softMs: 50, hardMs: 250, maxFailures: 3, retryMs: 1_000 } as const;
/** Deletes that are remembered; beyond, everything in the layer has to go. */
const MAX_OWED = 10_000;

export function guardLayer(layer: CacheLayer, options: GuardOptions): GuardedLayer {
  const { softMs, hardMs, maxFailures, retryMs, recover, onChange, random } = {
    ...DEFAULTS,
    ...options,
  };
  let isOpen = false;
  let isStopped = false;
  let failures = 0;
  /** How often it opened. */
  let openings = 0;
  let debts = noDebts();
  let timer: NodeJS.Timeout | undefined;

  function open(probeAfterMs = retryMs): void {
    if (isOpen || isStopped) return;
    isOpen = true;
    openings += 1;
    onChange?.(true);
    probeIn(probeAfterMs);
  }

  function probeIn(ms: number): void {
    timer = setTimeout(() => void probe(), ms * (0.75 + random() / 2));
    timer.unref();
  }

  /** Never rejects. */
  async function probe(): Promise<void> {
    const mine = debts;
    debts = noDebts();
    try {
      if (!mine.hasForgotten) await within(layer.deleteMany([...mine.keys]), hardMs);
      await recover?.(mine.hasForgotten);
      // What was owed meanwhile is done next, still unread.
      if (isFree(debts)) close();
    } catch {
      for (const key of debts.keys) mine.keys.add(key);
      mine.hasForgotten ||= debts.hasForgotten;
      debts = mine;
    }
    if (isSkipped() && !isStopped) probeIn(retryMs);
  }

  // TypeScript would take the flag for what it was before an await.
  const isSkipped = (): boolean => isOpen;

  function close(): void {
    isOpen = false;
    failures = 0;
    onChange?.(false);
  }

  function owe(keys: readonly string[]): void {
    for (const key of keys) debts.keys.add(key);
    if (debts.keys.size <= MAX_OWED) return;
    debts.keys.clear();
    debts.hasForgotten = true;
  }

  function failed(): void {
    failures += 1;
    if (failures >= maxFailures) open();
  }

  return {
    name: layer.name,
    lifeMs: layer.lifeMs,
    isOpen: () => isOpen,
    distrust(how = {}) {
      debts.hasForgotten ||= how.hasForgotten ?? false;
      open(how.probeAfterMs);
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
    async getMany(keys) {
      if (isOpen) return keys.map(() => NOTHING);
      const before = openings;
      try {
        const found = await within(layer.getMany(keys), softMs);
        // Its breaker opened while it was asked: what it said may be old.
        if (openings !== before) return keys.map(() => NOTHING);
        failures = 0;
        return found;
      } catch {
        failed();
        return keys.map(() => NOTHING);
      }
    },
    async setMany(fillings) {
      if (isOpen) return fillings.map(() => false);
      try {
        return await within(layer.setMany(fillings), hardMs);
      } catch {
        failed();
        return fillings.map(() => false);
      }
    },
    async deleteMany(keys) {
      if (isOpen) {
        owe(keys);
        return;
      }
      try {
        await within(layer.deleteMany(keys), hardMs);
        // It opened meanwhile: whether they were deleted before or after, nobody knows.
        if (isSkipped()) owe(keys);
      } catch {
        owe(keys);
        open();
      }
    },
  };
}

/** What has to be deleted before the layer is read again. */
interface Debts {
  readonly keys: Set<string>;
  /** There were more than are remembered: everything has to go. */
  hasForgotten: boolean;
}

const noDebts = (): Debts => ({ keys: new Set(), hasForgotten: false });

const isFree = ({ keys, hasForgotten }: Debts): boolean => keys.size === 0 && !hasForgotten;

const within = <T>(work: T | Promise<T>, ms: number): Promise<T> =>
  withDeadline(Promise.resolve(work), ms);
