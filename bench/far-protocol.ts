/** What the bench and the process that holds its far side say to each other. */
import type { ConnectorCapabilities } from '../connectors/contract.ts';

/** Methods of a connector that are called across. */
export type FarMethod = 'observe' | 'read' | 'apply';

export type FarRequest =
  | { readonly id: number; readonly call: FarMethod; readonly given: unknown }
  /** Writes items `from` up to `to`, every `step`th, with this wording. */
  | {
      readonly id: number;
      readonly call: 'put';
      readonly given: { from: number; to: number; step: number; wording: string };
    };

export interface FarAnswer {
  readonly id: number;
  readonly answer?: unknown;
  /** What the call threw, as text. */
  readonly error?: string;
  /** Sent once, when the process is ready. */
  readonly capabilities?: ConnectorCapabilities;
}
