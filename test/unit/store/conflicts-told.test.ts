import { expect, it } from 'vitest';
import type { TenantId } from '../../../domain/ids.ts';
import { conflictsTold, type OutboxMessage } from '../../../store/contract.ts';

const message = (
  topic: 'conflict.opened' | 'conflict.ended',
  conflictId: string,
  tenant = 'tenant1',
): OutboxMessage => ({ id: '1', tenant: tenant as TenantId, topic, payload: { conflictId } });

it('a conflict is told of once, and an end outweighs a start whatever the order', () => {
  const told = conflictsTold([
    message('conflict.opened', 'a'),
    message('conflict.opened', 'a'),
    message('conflict.ended', 'b'),
    message('conflict.opened', 'b'),
    message('conflict.opened', 'c'),
    message('conflict.ended', 'c'),
    message('conflict.opened', 'b', 'tenant10'),
    { id: '2', tenant: 'tenant1' as TenantId, topic: 'link.wake', payload: { linkId: 'l' } },
  ]);
  expect(told.map((each) => [each.tenant, each.conflictId, each.isOpen])).toEqual([
    ['tenant1', 'a', true],
    ['tenant1', 'b', false],
    ['tenant1', 'c', false],
    ['tenant10', 'b', true],
  ]);
});
