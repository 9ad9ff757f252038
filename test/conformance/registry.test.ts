import { expect, it } from 'vitest';
import type { ConnectorType } from '../../connectors/connector.ts';
import { createConnectorRegistry, describeGrade } from '../../connectors/contract.ts';
import { createFakeRemote } from '../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../connectors/fake/fake-type.ts';
import { mcpMemory } from '../../connectors/mcp-memory/mcp-memory.ts';

const fake = createFakeType(new Map([['one', createFakeRemote({ grade: 'A' })]]));

it('gives the type of a kind and lists all, sorted', () => {
  const types: ConnectorType[] = [mcpMemory, fake];
  const registry = createConnectorRegistry(types);
  expect(registry.get('mcp-memory')).toBe(mcpMemory);
  expect(registry.list().map((type) => type.kind)).toEqual(['fake', 'mcp-memory']);
});

it('names the known kinds when asked for an unknown one', () => {
  const registry = createConnectorRegistry([mcpMemory, fake]);
  expect(() => registry.get('nonsense')).toThrow('fake, mcp-memory');
  expect(() => registry.get('__proto__')).toThrow(
    expect.objectContaining({ code: 'VALIDATION', errors: [expect.anything()] }),
  );
});

it('refuses two types of one kind', () => {
  expect(() => createConnectorRegistry([fake, fake])).toThrow('same kind');
});

it('says in words what each grade guarantees', () => {
  const texts = (['A', 'B', 'C'] as const).map(describeGrade);
  expect(new Set(texts).size).toBe(3);
  expect(describeGrade('C')).toContain('can still be lost');
});
