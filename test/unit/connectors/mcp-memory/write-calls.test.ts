/**
 * Intents and calls against a model of the memory server's tools, written from its documentation:
 * whatever the batch, the graph ends as the ops ask, and what no op is about stays as it was.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RemoteOp } from '../../../../connectors/connector.ts';
import { applyOps } from '../../../../connectors/mcp-memory/apply-ops.ts';
import {
  toMemoryGraph,
  type GraphRelation,
  type MemoryGraph,
} from '../../../../connectors/mcp-memory/memory-graph.ts';
import type { MemoryServer, WriteTool } from '../../../../connectors/mcp-memory/memory-server.ts';
import { asRemoteId, canonicalMemory, itemName, type Memory } from '../../../../domain/item.ts';

interface Entity {
  name: string;
  entityType: string;
  observations: string[];
}

const NAMES = ['A', 'B', 'C', 'D', '__proto__'] as const;
const TEXTS = ['x', 'y', 'z', ''] as const;

const memoryNamed = (name: fc.Arbitrary<string>): fc.Arbitrary<Memory> =>
  fc
    .record({
      name,
      type: fc.constantFrom('note', 'person'),
      observations: fc.uniqueArray(fc.constantFrom(...TEXTS)),
      relations: fc.uniqueArray(
        fc.record({ to: fc.constantFrom(...NAMES), type: fc.constantFrom('knows', 'is') }),
        { selector: (relation) => JSON.stringify(relation), maxLength: 4 },
      ),
    })
    .map(canonicalMemory);

/** Entities of different names, and for some of them what shall become of them. */
const scenario = fc
  .uniqueArray(memoryNamed(fc.constantFrom(...NAMES)), { selector: (memory) => memory.name })
  .chain((memories) =>
    fc.record({
      memories: fc.constant(memories),
      wishes: fc.tuple(
        ...NAMES.map((name) =>
          fc.oneof(
            fc.constant('rest' as const),
            fc.constant('delete' as const),
            memoryNamed(fc.constant(name)),
            memoryNamed(fc.constantFrom('R1', 'R2', ...NAMES)),
          ),
        ),
      ),
    }),
  );

describe('a batch', () => {
  it('leads to what its ops ask for, in one attempt, and is answered per op', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ memories, wishes }) => {
        const model = createModel(memories);
        const before = model.graph();
        const ops = NAMES.flatMap((name, index) => opFor(name, wishes[index]!, before));
        const outcomes = await applyOps(depsOf(model), ops);
        const after = model.graph();
        expect(outcomes.map((outcome) => outcome.opId)).toEqual(ops.map((op) => op.opId));
        outcomes.forEach((outcome, index) => {
          const op = ops[index]!;
          if (outcome.status === 'failed') expect(outcome.code).toBe('ITEM_NAME_TAKEN');
          if (outcome.status !== 'applied' || op.value === null) return;
          const entry = after.entries.get(outcome.remoteId);
          expect(entry).toMatchObject({ value: op.value, version: outcome.version });
        });
        const written = new Set(outcomes.flatMap((o) => (o.status === 'applied' ? [o.opId] : [])));
        expectRestKept({ before, after, touched: ops.filter((op) => written.has(op.opId)) });
        expect(model.looks()).toBeLessThanOrEqual(2);
      }),
      { numRuns: 1000 },
    );
  });

  // Found by the property above: the heir was taken for the entity it replaced, and deleted.
  it('may delete an entity and rename another into its very image', async () => {
    const [a, b] = ['A', 'B'].map((name) =>
      canonicalMemory({ name, type: 'note', observations: ['x'], relations: [] }),
    ) as [Memory, Memory];
    const model = createModel([a, b]);
    const ops = [...opFor('A', b, model.graph()), ...opFor('B', 'delete', model.graph())];
    const outcomes = await applyOps(depsOf(model), ops);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['applied', 'applied']);
    expect([...model.graph().entries.keys()]).toEqual(['B']);
  });

  it('makes no writing call when everything is already as it asks', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ memories }) => {
        const model = createModel(memories);
        const graph = model.graph();
        const ops = memories.flatMap((memory) => opFor(memory.name, memory, graph));
        const outcomes = await applyOps(depsOf(model), ops);
        expect(outcomes.every((outcome) => outcome.status === 'applied')).toBe(true);
        expect(model.calls()).toBe(0);
      }),
    );
  });
});

/** Entities no written op was about keep type and observations; so do their relations elsewhere. */
function expectRestKept(of: { before: MemoryGraph; after: MemoryGraph; touched: RemoteOp[] }) {
  const names = new Set(of.touched.flatMap((op) => [op.remoteId, itemName('memory', op.value)]));
  for (const [name, entry] of of.before.entries) {
    if (names.has(name) || entry.status !== 'present') continue;
    const now = of.after.entries.get(name);
    if (now?.status !== 'present') throw new Error(`${name} vanished`);
    const was = entry.value as Memory;
    const is = now.value as Memory;
    expect([is.type, is.observations]).toEqual([was.type, was.observations]);
    const elsewhere = (memory: Memory) => memory.relations.filter(({ to }) => !names.has(to));
    expect(elsewhere(is)).toEqual(elsewhere(was));
  }
}

function opFor(name: string, wish: 'rest' | 'delete' | Memory, graph: MemoryGraph): RemoteOp[] {
  if (wish === 'rest') return [];
  const entry = graph.entries.get(name);
  const isThere = entry?.status === 'present';
  if (!isThere && (wish === 'delete' || wish.name !== name)) return [];
  return [
    {
      opId: `op ${name}`,
      action: wish === 'delete' ? 'delete' : isThere ? 'update' : 'create',
      kind: 'memory',
      remoteId: asRemoteId(name),
      value: wish === 'delete' ? null : wish,
      expectedVersion: isThere ? entry.version : null,
    },
  ];
}

function depsOf(model: ReturnType<typeof createModel>) {
  return {
    server: model.server,
    assertLeaseHeld: () => undefined,
    random: () => 0,
    wait: () => Promise.resolve(),
    clock: { now: () => 0 },
  };
}

function createModel(memories: readonly Memory[]) {
  let entities: Entity[] = memories.map(({ name, type, observations }) => ({
    name,
    entityType: type,
    observations: [...observations],
  }));
  let relations: GraphRelation[] = memories.flatMap((memory) =>
    memory.relations.map(({ to, type }) => ({ from: memory.name, to, relationType: type })),
  );
  let [looks, calls] = [0, 0];
  const isSame = (a: GraphRelation, b: GraphRelation) =>
    a.from === b.from && a.to === b.to && a.relationType === b.relationType;
  const graph = () => toMemoryGraph(structuredClone({ entities, relations }));

  const tools: Record<WriteTool, (rows: never[]) => string[] | null> = {
    delete_entities(names: string[]) {
      entities = entities.filter(({ name }) => !names.includes(name));
      relations = relations.filter(({ from, to }) => !names.includes(from) && !names.includes(to));
      return null;
    },
    delete_observations(rows: { entityName: string; observations: string[] }[]) {
      for (const row of rows) {
        const entity = entities.find(({ name }) => name === row.entityName);
        if (!entity) continue;
        entity.observations = entity.observations.filter((o) => !row.observations.includes(o));
      }
      return null;
    },
    delete_relations(rows: GraphRelation[]) {
      relations = relations.filter((relation) => !rows.some((row) => isSame(row, relation)));
      return null;
    },
    create_entities(rows: Entity[]) {
      const fresh = rows.filter((row) => !entities.some(({ name }) => name === row.name));
      entities.push(...structuredClone(fresh));
      return fresh.map(({ name }) => name);
    },
    add_observations(rows: { entityName: string; contents: string[] }[]) {
      for (const { entityName, contents } of rows) {
        const entity = entities.find(({ name }) => name === entityName);
        if (!entity) throw new Error('refused');
        entity.observations.push(...contents.filter((o) => !entity.observations.includes(o)));
      }
      return null;
    },
    create_relations(rows: GraphRelation[]) {
      relations.push(...rows.filter((row) => !relations.some((known) => isSame(row, known))));
      return null;
    },
  };
  const server: MemoryServer = {
    readGraph: () => {
      looks += 1;
      return Promise.resolve(graph());
    },
    readNodes: () => Promise.resolve(graph()),
    stamp: () => Promise.resolve('nobody else writes'),
    write: (tool, args) => {
      calls += 1;
      const [rows] = Object.values(args);
      const createdNames = tools[tool](structuredClone(rows) as never[]);
      return Promise.resolve({ isTaken: true as const, createdNames });
    },
  };
  return { server, graph, looks: () => looks, calls: () => calls };
}
