/** Events without Node: `on`, `once`, `off`. */

export type Listener<Value> = (value: Value) => void;

export interface Emitter<Events extends object> {
  on<Name extends keyof Events>(event: Name, listener: Listener<Events[Name]>): void;
  once<Name extends keyof Events>(event: Name, listener: Listener<Events[Name]>): void;
  /** Also takes off what was put on with `once`. */
  off<Name extends keyof Events>(event: Name, listener: Listener<Events[Name]>): void;
  emit<Name extends keyof Events>(event: Name, value: Events[Name]): void;
}

interface Entry {
  readonly listener: Listener<never>;
  readonly isOnce: boolean;
}

/** An emitter without listeners. */
export function createEmitter<Events extends object>(): Emitter<Events> {
  const entries = new Map<keyof Events, readonly Entry[]>();
  const add = (event: keyof Events, listener: Listener<never>, isOnce: boolean): void =>
    void entries.set(event, [...(entries.get(event) ?? []), { listener, isOnce }]);
  const off = (event: keyof Events, listener: Listener<never>): void => {
    const kept = [...(entries.get(event) ?? [])];
    const at = kept.findIndex((entry) => entry.listener === listener);
    if (at >= 0) kept.splice(at, 1);
    entries.set(event, kept);
  };
  return {
    on: (event, listener) => add(event, listener, false),
    once: (event, listener) => add(event, listener, true),
    off,
    emit(event, value) {
      for (const { listener, isOnce } of entries.get(event) ?? []) {
        if (isOnce) off(event, listener);
        call(listener as Listener<typeof value>, value);
      }
    },
  };
}

/** A listener that throws must neither silence the others nor go unnoticed. */
function call<Value>(listener: Listener<Value>, value: Value): void {
  try {
    listener(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
