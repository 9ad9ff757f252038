/** Which strategy holds at a place of an item: the link's rules over the link's default. */
import type { ItemKind } from '../domain/item.ts';
import type { Strategy } from '../domain/link.ts';
import type { SyncPolicy } from './contract.ts';
import { isAtOrBelow } from './merge/pointers.ts';

/**
 * A look-up by JSON pointer for items of one kind. A rule holds at its pointer and below; the longest
 * pointer wins, of equally long ones the later rule. A rule without a pointer holds for the whole item.
 */
export function strategyAt(
  policy: Pick<SyncPolicy, 'strategy' | 'strategies'>,
  kind: ItemKind,
): (pointer: string) => Strategy {
  const rules = policy.strategies
    .filter((rule) => rule.kind === undefined || rule.kind === kind)
    .map((rule) => ({ pointer: rule.pointer ?? '', strategy: rule.strategy }))
    .reverse()
    .sort((a, b) => b.pointer.length - a.pointer.length);
  return (pointer) =>
    rules.find((rule) => isAtOrBelow(pointer, rule.pointer))?.strategy ?? policy.strategy;
}
