/**
 * Exports a tenant's contexts as lines of text: a manifest, then every version, by key and number.
 * What is given out is one moment. On a real Postgres a long export holds nobody up; the embedded one
 * has a single session, so there the versions (without their bodies) are noted in a file first.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '../domain/clock.ts';
import type { Caller, ChangeType, DeleteReason } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { ContextKey, TenantId } from '../domain/ids.ts';
import { canonicalJson, type Json, type JsonObject } from '../domain/json.ts';
import { CREATION, FORMER_CREATE } from './context-reads.ts';
import type { Bodies } from './crypto/bodies.ts';
import type { Database, Transaction } from './database.ts';

export const EXPORT_FORMAT = 'syncline-export';
export const EXPORT_FORMAT_VERSION = 1;

export interface ExportQuery {
  readonly prefix?: string | undefined;
  /** Only contexts that have all of these tags now. */
  readonly tag?: readonly string[] | undefined;
  /** Give out encrypted bodies in clear; else they are left out. */
  readonly decrypt: boolean;
}

/** The first line. */
export interface ExportManifest {
  readonly format: typeof EXPORT_FORMAT;
  readonly formatVersion: number;
  readonly createdAt: string;
  readonly prefix: string;
  readonly tags: readonly string[];
  /** Lines that follow. */
  readonly versions: number;
  /** Versions that are not given out because they are encrypted. */
  readonly encryptedLeftOut: number;
}

export interface Exporter {
  /**
   * Hands on the text piece by piece; `sink` resolves when it takes more, and rejects to stop.
   * @throws AppError UNAVAILABLE (too many at once), ENCRYPTION_NOT_CONFIGURED, DECRYPTION_FAILED
   */
  export(
    caller: Caller,
    query: ExportQuery,
    sink: (text: string) => Promise<void>,
  ): Promise<ExportManifest>;
}

/** Exports under way at once in a process; each keeps a connection. */
const MAX_AT_ONCE = 4;
const PAGE_ROWS = 500;
/** Bytes of bodies in memory at once, but for a single one that is larger. */
const MAX_BODIES_BYTES = 4 * 1024 * 1024;

interface ExportRow {
  readonly key: ContextKey;
  readonly version: number;
  readonly hash: Hash | null;
  readonly change_type: ChangeType;
  readonly reason: DeleteReason | null;
  readonly changed_by: string | null;
  readonly changed_at: Date;
  readonly kind: string;
  readonly source: string | null;
  readonly parent_id: string | null;
  readonly session_id: string | null;
  readonly agent_id: string | null;
  readonly tags: readonly string[];
  readonly metadata: JsonObject;
  readonly encrypted: boolean;
  readonly compressed: boolean;
  readonly size: number;
  readonly expires_at: Date | null;
  readonly created_at: Date;
  readonly created_by: string | null;
}

// What expired is gone on every path; the version that deleted it stays, as in the change feed.
const meant = (joined = ''): string => `
FROM context_versions v JOIN contexts c ON c.tenant_id = v.tenant_id AND c.key = v.key ${joined}
WHERE v.tenant_id = current_setting('app.tenant')
  AND v.key >= $1 COLLATE "C" AND starts_with(v.key, $1)
  AND ($2::text[] IS NULL OR c.tags @> $2)
  AND CASE WHEN c.deleted THEN c.delete_reason IS DISTINCT FROM 'ttl' OR v.version = c.version
    ELSE c.expires_at IS NULL OR c.expires_at > $3 END`;

const COUNT = `
SELECT count(*) FILTER (WHERE NOT v.encrypted OR $4)::float8 AS versions,
  count(*) FILTER (WHERE v.encrypted AND NOT $4)::float8 AS "encryptedLeftOut" ${meant()}`;

const SELECT_PAGE = `
SELECT v.key, v.version, encode(v.hash, 'hex') AS hash, v.change_type, v.reason, v.changed_by,
  v.changed_at, v.kind, v.source, v.parent_id, v.session_id, v.agent_id, v.tags, v.metadata,
  v.encrypted, v.compressed, v.size, v.expires_at, ${CREATION} ${meant(FORMER_CREATE)}
  AND (NOT v.encrypted OR $4) AND (v.key, v.version) > ($5 COLLATE "C", $6)
ORDER BY v.key, v.version LIMIT ${PAGE_ROWS}`;

const SELECT_ENCRYPTED = `
SELECT v.key, encode(v.hash, 'hex') AS hash, v.encrypted ${meant()} AND v.encrypted LIMIT 1`;

/** Runs `work` in a transaction: that of the snapshot, or a short one of its own. */
type Reads = <T>(work: (tx: Transaction) => Promise<T>) => Promise<T>;

export function createExporter(deps: {
  readonly database: Database;
  readonly clock: Clock;
  readonly bodies: Bodies;
}): Exporter {
  const { database, clock, bodies } = deps;
  let underWay = 0;

  async function exportAll(
    caller: Caller,
    query: ExportQuery,
    sink: Sink,
  ): Promise<ExportManifest> {
    const { tenant } = caller;
    const values = valuesOf(query, new Date(clock.now()));
    const given = { tenant, bodies, query, values, sink, createdAt: new Date(clock.now()) };
    if (await isSingleSession(database, tenant)) return exportNoted(database, given);
    return database.withSnapshot(tenant, async (tx) => {
      const manifest = await begin(tx, given);
      for await (const rows of pagesOf(tx, given.values))
        await give(rows, given, (work) => work(tx));
      return manifest;
    });
  }

  return {
    async export(caller, query, sink) {
      if (underWay >= MAX_AT_ONCE) {
        const detail = `${MAX_AT_ONCE} exports are under way already; ask again when one has ended`;
        throw new AppError('RATE_LIMITED', detail, { extra: { retryAfterMs: 1_000 } });
      }
      underWay += 1;
      try {
        return await exportAll(caller, query, sink);
      } finally {
        underWay -= 1;
      }
    },
  };
}

type Sink = (text: string) => Promise<void>;

interface Given {
  readonly tenant: TenantId;
  readonly bodies: Bodies;
  readonly query: ExportQuery;
  readonly values: readonly unknown[];
  readonly sink: Sink;
  readonly createdAt: Date;
}

function valuesOf({ prefix, tag, decrypt }: ExportQuery, now: Date): readonly unknown[] {
  return [prefix ?? '', tag?.length ? tag : null, now, decrypt];
}

async function isSingleSession(database: Database, tenant: TenantId): Promise<boolean> {
  const [row] = await database.withTenant(tenant, (tx) =>
    tx.query<{ isPglite: boolean }>(`SELECT version() LIKE '%PGlite%' AS "isPglite"`),
  );
  return row!.isPglite;
}

/** Counts, proves that encrypted bodies can be opened, and gives out the first line. */
async function begin(tx: Transaction, given: Given): Promise<ExportManifest> {
  const { tenant, bodies, query, values, sink } = given;
  const [counts] = await tx.query<Pick<ExportManifest, 'versions' | 'encryptedLeftOut'>>(
    COUNT,
    values,
  );
  const manifest: ExportManifest = {
    format: EXPORT_FORMAT,
    formatVersion: EXPORT_FORMAT_VERSION,
    createdAt: given.createdAt.toISOString(),
    prefix: query.prefix ?? '',
    tags: query.tag ?? [],
    ...counts!,
  };
  if (query.decrypt) {
    const some = await tx.query<Ref>(SELECT_ENCRYPTED, values.slice(0, 3));
    // What cannot be opened is told before anything was given out.
    await bodies.load(tx, tenant, some);
  }
  await sink(`${JSON.stringify(manifest)}\n`);
  return manifest;
}

type Ref = Pick<ExportRow, 'key' | 'encrypted'> & { readonly hash: Hash };

async function* pagesOf(
  tx: Transaction,
  values: readonly unknown[],
): AsyncGenerator<readonly ExportRow[]> {
  let after: Pick<ExportRow, 'key' | 'version'> | null = null;
  for (;;) {
    const rows: ExportRow[] = await tx.query<ExportRow>(SELECT_PAGE, [
      ...values,
      after?.key ?? '',
      after?.version ?? 0,
    ]);
    if (rows.length > 0) yield rows;
    if (rows.length < PAGE_ROWS) return;
    after = rows.at(-1)!;
  }
}

/** Gives out versions with their bodies, of which only a few are in memory at a time. */
async function give(rows: readonly ExportRow[], given: Given, reads: Reads): Promise<void> {
  const { tenant, bodies, sink } = given;
  for (const part of partsOf(rows)) {
    const refs = part.filter((row): row is ExportRow & Ref => row.hash !== null);
    const values = await reads((tx) => bodies.load(tx, tenant, refs));
    await sink(part.map((row) => lineOf(row, values)).join(''));
  }
}

function* partsOf(rows: readonly ExportRow[]): Generator<readonly ExportRow[]> {
  let part: ExportRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (part.length > 0 && bytes + row.size > MAX_BODIES_BYTES) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(row);
    bytes += row.size;
  }
  if (part.length > 0) yield part;
}

// The order of members is fixed, and nothing here depends on which store it is.
function lineOf(row: ExportRow, values: ReadonlyMap<Hash, Json>): string {
  const facts = {
    key: row.key,
    version: row.version,
    changeType: row.change_type,
    ...(row.reason === null ? {} : { reason: row.reason }),
    kind: row.kind,
    source: row.source,
    parentId: row.parent_id,
    sessionId: row.session_id,
    agentId: row.agent_id,
    tags: row.tags,
    metadata: row.metadata,
    encrypted: row.encrypted,
    compressed: row.compressed,
    size: row.size,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    updatedAt: row.changed_at.toISOString(),
    updatedBy: row.changed_by,
    expiresAt: row.expires_at?.toISOString() ?? null,
    // The name of an encrypted body belongs to its tenant's keys.
    ...(row.encrypted || row.hash === null ? {} : { hash: row.hash }),
    ...(row.hash === null ? { deleted: true } : {}),
  };
  const text = JSON.stringify(facts);
  if (row.hash === null) return `${text}\n`;
  const value = values.get(row.hash);
  if (value === undefined) throw lostBody(row);
  return `${text.slice(0, -1)},"data":${canonicalJson(value)}}\n`;
}

function lostBody({ key, version }: ExportRow): AppError {
  const which = `version ${version} of ${JSON.stringify(key)}`;
  return new AppError('INTERNAL', `the body of ${which} is gone; export again`);
}

/** The embedded Postgres: the rows of one moment go into a file, the bodies follow a few at a time. */
async function exportNoted(database: Database, given: Given): Promise<ExportManifest> {
  const folder = await mkdtemp(join(tmpdir(), 'syncline-export-'));
  const file = join(folder, 'versions');
  const reads: Reads = (work) => database.withTenant(given.tenant, work);
  try {
    let first = '';
    const sink = async (text: string): Promise<void> => void (first = text);
    const manifest = await database.withSnapshot(given.tenant, async (tx) => {
      const begun = await begin(tx, { ...given, sink });
      const notes = Readable.from(notesOf(tx, given.values));
      await pipeline(notes, createWriteStream(file, { mode: 0o600 }));
      return begun;
    });
    await given.sink(first);
    for await (const rows of readNotes(file)) await give(rows, given, reads);
    return manifest;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* notesOf(tx: Transaction, values: readonly unknown[]): AsyncGenerator<string> {
  for await (const rows of pagesOf(tx, values))
    yield rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

async function* readNotes(file: string): AsyncGenerator<readonly ExportRow[]> {
  let rows: ExportRow[] = [];
  for await (const note of createInterface({
    input: createReadStream(file),
    crlfDelay: Infinity,
  })) {
    rows.push(readNote(note));
    if (rows.length < PAGE_ROWS) continue;
    yield rows;
    rows = [];
  }
  if (rows.length > 0) yield rows;
}

type Noted = Omit<ExportRow, 'changed_at' | 'created_at' | 'expires_at'> &
  Readonly<Record<'changed_at' | 'created_at', string>> & { readonly expires_at: string | null };

function readNote(note: string): ExportRow {
  const row = JSON.parse(note) as Noted;
  return {
    ...row,
    changed_at: new Date(row.changed_at),
    created_at: new Date(row.created_at),
    expires_at: row.expires_at === null ? null : new Date(row.expires_at),
  };
}
