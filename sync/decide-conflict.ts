/** What a fallback strategy makes of a conflict that nobody decided in time. */
import type { ItemKind } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import type { FallbackStrategy } from '../domain/link.ts';
import type { Stamps } from './contract.ts';
import { mergeItem } from './merge-item.ts';

export interface Contested {
  readonly kind: ItemKind;
  readonly base: { readonly hub: Json; readonly remote: Json } | null;
  /** Undefined: that side deleted it. */
  readonly hub: Json | undefined;
  readonly remote: Json | undefined;
  readonly stamps: Stamps;
}

export type FallbackDecision =
  | { readonly status: 'decided'; readonly value: Json | undefined }
  /** The strategy leaves a place open after all; a person has to decide. */
  | { readonly status: 'undecided' };

/** The value both sides shall hold; undefined: neither shall have the item. */
export function decideConflict(contested: Contested, strategy: FallbackStrategy): FallbackDecision {
  const { hub, remote } = contested;
  if (hub === undefined || remote === undefined) {
    return { status: 'decided', value: editVersusDelete(hub, remote, strategy) };
  }
  const result = mergeItem({
    ...contested,
    hub,
    remote,
    policy: {
      direction: 'both',
      strategy,
      strategies: [],
      editVersusDelete: 'edit',
      propagateExpiry: false,
    },
  });
  return result.status === 'merged'
    ? { status: 'decided', value: result.value }
    : { status: 'undecided' };
}

function editVersusDelete(
  hub: Json | undefined,
  remote: Json | undefined,
  strategy: FallbackStrategy,
): Json | undefined {
  switch (strategy) {
    case 'prefer-hub':
      return hub;
    case 'prefer-remote':
      return remote;
    case 'intersection':
      return undefined;
    case 'latest':
    case 'union':
      return hub === undefined ? remote : hub;
  }
}
