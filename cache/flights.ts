/**
 * Reads of the source under way. Those of a key that are shared: whoever comes meanwhile waits for the
 * same, also for its failure. An invalidation ends that: who comes after it begins a read of their
 * own, and what the old one brings is kept by nobody.
 */

/** A read of the source that is under way, or about to be. */
export interface Flight {
  readonly tags: readonly string[];
  /** Whether its key was invalidated since it began; then its value may be old. */
  isStale: boolean;
}

export interface Flights<T> {
  /** The one under way, if it may be shared. */
  of(key: string): Promise<T> | undefined;
  /** Begins one that is shared. */
  share(key: string, tags: readonly string[], work: (flight: Flight) => Promise<T>): Promise<T>;
  /** Begins one that is nobody else's; to be ended with {@link Flights.end}. */
  begin(key: string, tags: readonly string[]): Flight;
  end(key: string, flight: Flight): void;
  /** Makes those of these keys stale. */
  drop(keys: readonly string[]): void;
  /** Makes those that carry one of these tags stale. */
  dropTagged(tags: readonly string[]): void;
}

export function createFlights<T>(): Flights<T> {
  const flights = new Map<string, Set<Flight>>();
  const shared = new Map<string, { readonly flight: Flight; readonly result: Promise<T> }>();

  function begin(key: string, tags: readonly string[]): Flight {
    const flight = { tags, isStale: false };
    const known = flights.get(key);
    if (known) known.add(flight);
    else flights.set(key, new Set([flight]));
    return flight;
  }

  function end(key: string, flight: Flight): void {
    const known = flights.get(key);
    if (known?.delete(flight) && known.size === 0) flights.delete(key);
    if (shared.get(key)?.flight === flight) shared.delete(key);
  }

  function drop(key: string): void {
    flights.get(key)?.forEach((flight) => (flight.isStale = true));
    shared.delete(key);
  }

  return {
    of: (key) => shared.get(key)?.result,
    share(key, tags, work) {
      const flight = begin(key, tags);
      const result = work(flight).finally(() => end(key, flight));
      shared.set(key, { flight, result });
      return result;
    },
    begin,
    end,
    drop: (keys) => keys.forEach(drop),
    dropTagged(tags) {
      const wanted = new Set(tags);
      for (const [key, each] of flights) {
        if ([...each].some((flight) => flight.tags.some((tag) => wanted.has(tag)))) drop(key);
      }
    },
  };
}
