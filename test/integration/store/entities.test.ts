import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataSource, EntityMetadata } from 'typeorm';
import { ENTITIES } from '../../../entities/contract.ts';
import { createDataSource } from '../../../main/migrate.ts';
import { CALLER } from '../../support/engine.ts';
import { openStore, put, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
let source: DataSource;
beforeAll(async () => {
  under = await openStore();
  source = createDataSource(under.url);
  await source.initialize();
});
afterAll(async () => {
  await source.destroy();
  await under.close();
});

/** Types as `format_type` prints them. */
const PRINTED: Readonly<Record<string, string>> = { timestamptz: 'timestamp with time zone' };

interface Column {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly isNullable: boolean;
  readonly hasDefault: boolean;
  readonly isIdentity: boolean;
  readonly collation: string | null;
  readonly isKey: boolean;
}

const SELECT_COLUMNS = `
SELECT c.relname AS "table", a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  NOT a.attnotnull AS "isNullable", a.atthasdef AS "hasDefault", a.attidentity = 'a' AS "isIdentity",
  CASE WHEN co.collname <> 'default' THEN co.collname END AS collation,
  coalesce(a.attnum = ANY (i.indkey), false) AS "isKey"
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'context_system'
LEFT JOIN pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE a.attnum > 0 AND NOT a.attisdropped`;

const byName = (a: Column, b: Column): number =>
  `${a.table}.${a.name}` < `${b.table}.${b.name}` ? -1 : 1;

function columnsOf(metadata: EntityMetadata): Column[] {
  return metadata.columns.map((column) => {
    const type = String(column.type);
    return {
      table: metadata.tableName,
      name: column.databaseName,
      type: `${PRINTED[type] ?? type}${column.isArray ? '[]' : ''}`,
      isNullable: column.isNullable,
      hasDefault: column.default !== undefined,
      isIdentity: column.generatedIdentity === 'ALWAYS',
      collation: column.collation ?? null,
      isKey: column.isPrimary,
    };
  });
}

describe('the entities', () => {
  it('have exactly the columns of the migrated schema: name, type, nullability, key, collation', async () => {
    const inDatabase = await under.admin<Column>(SELECT_COLUMNS);
    const inCode = source.entityMetadatas.flatMap(columnsOf);
    expect(inCode.sort(byName)).toEqual(inDatabase.sort(byName));
  });

  it('are one per table', async () => {
    const rows = await under.admin<{ name: string }>(
      `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'context_system' ORDER BY 1`,
    );
    const tables = source.entityMetadatas.map((metadata) => metadata.tableName).sort();
    expect(tables).toEqual(rows.map((row) => row.name));
    expect(new Set(ENTITIES).size).toBe(tables.length);
  });

  it('name every constraint and index there is, and none that is not', async () => {
    const constraints = await under.admin<{ name: string }>(
      `SELECT conname AS name FROM pg_constraint
       WHERE connamespace = 'context_system'::regnamespace AND contype <> 'n'`,
    );
    const indexes = await under.admin<{ name: string }>(
      `SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
       WHERE c.relnamespace = 'context_system'::regnamespace
         AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = c.oid)`,
    );
    const named = source.entityMetadatas.flatMap((metadata) => [
      metadata.primaryColumns[0]!.primaryKeyConstraintName,
      ...[metadata.checks, metadata.uniques, metadata.foreignKeys, metadata.indices].flatMap(
        (list) => list.map((one: { name: string }) => one.name),
      ),
    ]);
    expect(named.sort()).toEqual([...constraints, ...indexes].map((row) => row.name).sort());
  });

  it('leave TypeORM nothing to change, and it would notice', async () => {
    const differences = async (): Promise<string[]> =>
      (await source.driver.createSchemaBuilder().log()).upQueries.map(({ query }) => query);
    expect(await differences()).toEqual([]);
    await under.admin(
      'ALTER TABLE blobs ADD COLUMN surprise text; CREATE INDEX stray ON blobs (size)',
    );
    try {
      const noticed = (await differences()).join('\n');
      expect(noticed).toContain('surprise');
      expect(noticed).toContain('stray');
    } finally {
      await under.admin('ALTER TABLE blobs DROP COLUMN surprise; DROP INDEX stray');
    }
  });

  it('have no relation, cascade or method: rows only', () => {
    expect(source.entityMetadatas.flatMap((metadata) => metadata.relations)).toEqual([]);
    for (const entity of ENTITIES) {
      expect(Object.getOwnPropertyNames(entity.prototype)).toEqual(['constructor']);
    }
  });

  it('read rows that the store wrote', async () => {
    await put(under, CALLER, 'row', { a: 1 });
    for (const entity of ENTITIES) await source.getRepository(entity).find({ take: 1 });
    const row = await source.getRepository('ContextEntity').findOneBy({ key: 'row' });
    expect(row).toMatchObject({
      tenantId: 'default',
      version: 1,
      tags: [],
      metadata: {},
      deleted: false,
    });
    const change = await source.getRepository('ChangeEntity').findOneBy({ key: 'row' });
    expect(change).toMatchObject({
      changeType: 'create',
      xid: expect.stringMatching(/^\d+$/) as string,
    });
  });
});
