/**
 * Bodies, stored once per tenant and found by their hash. What a blob holds never changes; two
 * contexts, versions or sync bases with the same content share one. A body that is sealed
 * (crypto/bodies.ts) belongs to one context, and whoever loads plain bodies never meets it.
 */
import { gunzip, gzip } from 'node:zlib';
import { promisify } from 'node:util';
import { AppError } from '../domain/errors.ts';
import { hashText, type Hash } from '../domain/hash.ts';
import type { ContextKey } from '../domain/ids.ts';
import { canonicalJson, type Json } from '../domain/json.ts';
import { sqlStateOf, type Transaction } from './database.ts';
import type { Statement } from './send-together.ts';

const deflate = promisify(gzip);
const inflate = promisify(gunzip);

/** Bodies above this many bytes are compressed unless told otherwise (seed 002). */
const COMPRESS_ABOVE_BYTES = 1024;

/** A body ready to be stored: hashed once, compressed once. */
export interface Body {
  readonly hash: Hash;
  readonly codec: 'none' | 'gzip';
  /** Bytes of compact JSON, before compression. */
  readonly size: number;
  /** Null: the blob is known to be stored already. */
  readonly bytes: Buffer | null;
  /** The key that sealed the bytes; null or missing: they are plain. */
  readonly keyId?: string | null;
  /** The context a sealed body belongs to. */
  readonly sealedFor?: ContextKey | null;
  /** Plain JSON text of plain `bytes`, where it is at hand: who wants it need not inflate them. */
  readonly text?: Buffer;
}

/** A body's canonical text as UTF-8, as it will be stored. */
export interface PackedText {
  readonly codec: Body['codec'];
  readonly bytes: Buffer;
}

/** Prepares a plain body outside any transaction. `compress`: force, forbid, or (undefined) by size. */
export async function encodeBody(value: Json, compress?: boolean): Promise<Body> {
  const text = textOf(value);
  return plainBody(text, await packText(text, { compress }));
}

/** Canonical text of a value as UTF-8. */
export function textOf(value: Json): Buffer {
  return Buffer.from(canonicalJson(value));
}

/** A plain body of a text and what it was packed into. */
export function plainBody(text: Buffer, { codec, bytes }: PackedText): Body {
  return { hash: hashText(text), codec, size: text.length, bytes };
}

/** Compresses a text, or not; above `compressAbove` bytes unless told. */
export async function packText(
  text: Buffer,
  options: { readonly compress?: boolean | undefined; readonly compressAbove?: number | undefined },
): Promise<PackedText> {
  const { compress, compressAbove = COMPRESS_ABOVE_BYTES } = options;
  const plain = { codec: 'none', bytes: text } as const;
  if (!(compress ?? text.length > compressAbove)) return plain;
  const packed = await deflate(text);
  // Content that does not shrink is kept as it is, unless the caller asked for compression.
  if (compress !== true && packed.length >= text.length) return plain;
  return { codec: 'gzip', bytes: packed };
}

const INSERT_BLOBS = `
INSERT INTO blobs (tenant_id, hash, codec, size, body, key_id, sealed_for)
SELECT current_setting('app.tenant'), decode(b.hash, 'hex'), b.codec, b.size, b.body, b.key_id, b.sealed_for
FROM unnest($1::text[], $2::text[], $3::int[], $4::bytea[], $5::uuid[], $6::text[])
  AS b (hash, codec, size, body, key_id, sealed_for)
ORDER BY b.hash
ON CONFLICT DO NOTHING RETURNING encode(hash, 'hex') AS hash`;

// A blob that has been there for long may be collected at this very moment (collect-blobs.ts), so it
// is touched before it is relied on: the subquery makes that happen before anything is inserted.
const KEEP_BLOBS = `
WITH given AS (
  SELECT decode(b.hash, 'hex') AS hash, b.codec, b.size, b.body, b.key_id, b.sealed_for
  FROM unnest($1::text[], $2::text[], $3::int[], $4::bytea[], $5::uuid[], $6::text[])
    AS b (hash, codec, size, body, key_id, sealed_for)
), old AS (
  SELECT o.hash FROM given CROSS JOIN LATERAL (SELECT hash FROM blobs
    WHERE tenant_id = current_setting('app.tenant') AND hash = given.hash
      AND created_at < now() - interval '1 hour' OFFSET 0) o
), touched AS (
  UPDATE blobs SET created_at = now() FROM old
  WHERE blobs.tenant_id = current_setting('app.tenant') AND blobs.hash = old.hash RETURNING 1
)
INSERT INTO blobs (tenant_id, hash, codec, size, body, key_id, sealed_for)
SELECT current_setting('app.tenant'), hash, codec, size, body, key_id, sealed_for FROM given
WHERE (SELECT count(*) FROM touched) >= 0
ORDER BY hash
ON CONFLICT DO NOTHING`;

/** Stores bodies that are not there yet, and keeps those that are from being collected. */
export async function saveBodies(tx: Transaction, bodies: readonly Body[]): Promise<void> {
  const distinct = freshOf(bodies);
  if (distinct.length === 0) return;
  const added = await withItsKey(tx.query<{ hash: Hash }>(INSERT_BLOBS, columnsOf(distinct)));
  if (added.length === distinct.length) return;
  const isAdded = new Set(added.map((row) => row.hash));
  const known = distinct.filter((body) => !isAdded.has(body.hash));
  await withItsKey(tx.query(KEEP_BLOBS, columnsOf(known)));
}

// The same for one body, in two statements that are sent together, in this order.
const TOUCH_BLOB = `
UPDATE blobs SET created_at = now() WHERE tenant_id = current_setting('app.tenant') AND hash = $1
  AND created_at < now() - interval '1 hour'`;

const INSERT_BLOB = `
INSERT INTO blobs (tenant_id, hash, codec, size, body, key_id, sealed_for)
VALUES (current_setting('app.tenant'), $1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`;

/** Up to so many bodies are stored by statements of their own, which Postgres hardly has to plan. */
const FEW = 3;

/** The same as statements to be sent with others; see {@link withItsKey} for how they may fail. */
export function saveStatements(bodies: readonly Body[]): Statement[] {
  const distinct = freshOf(bodies);
  if (distinct.length > FEW) return [{ sql: KEEP_BLOBS, values: columnsOf(distinct) }];
  return distinct.flatMap(({ hash, codec, size, bytes, keyId, sealedFor }) => {
    const name = Buffer.from(hash, 'hex');
    const values = [name, codec, size, bytes, keyId ?? null, sealedFor ?? null];
    return [
      { sql: TOUCH_BLOB, values: [name] },
      { sql: INSERT_BLOB, values, name: 'insert_blob' },
    ];
  });
}

/** Those that may not be stored yet, each once. */
function freshOf(bodies: readonly Body[]): Body[] {
  const fresh = bodies.filter((body) => body.bytes !== null);
  return [...new Map(fresh.map((body) => [body.hash, body])).values()];
}

const FOREIGN_KEY_VIOLATION = '23503';

/**
 * A data key that was rotated away since it was read is a race that is lost, and run again. No other
 * table that a version is written to refers to one.
 */
export async function withItsKey<T>(saving: Promise<T>): Promise<T> {
  return saving.catch((error: unknown) => {
    if (sqlStateOf(error) !== FOREIGN_KEY_VIOLATION) throw error;
    throw new AppError('UNAVAILABLE', 'the encryption key was replaced', { retryable: true });
  });
}

function columnsOf(bodies: readonly Body[]): unknown[] {
  return [
    bodies.map((body) => body.hash),
    bodies.map((body) => body.codec),
    bodies.map((body) => body.size),
    bodies.map((body) => body.bytes),
    bodies.map((body) => body.keyId ?? null),
    bodies.map((body) => body.sealedFor ?? null),
  ];
}

/**
 * One look-up per hash of $1, whatever the planner thinks of the table. Hashes are decoded outside:
 * `decode` is not leakproof, so row-level security would keep a condition with it from the index.
 */
export const wantedBlobs = (columns: string): string => `
SELECT w.text AS hash, b.* FROM (
  SELECT h AS text, decode(h, 'hex') AS hash FROM unnest($1::text[]) AS h OFFSET 0) w
CROSS JOIN LATERAL (SELECT ${columns} FROM blobs
  WHERE tenant_id = current_setting('app.tenant') AND hash = w.hash OFFSET 0) b`;

const MEASURES = wantedBlobs('codec, size, key_id AS "keyId", sealed_for AS "sealedFor"');

/** Asks for the measures of stored bodies, sealed ones too; the bytes stay where they are. */
export function measuresOf(hashes: readonly (Hash | null)[]): Statement {
  const wanted = [...new Set(hashes.filter((hash) => hash !== null))];
  return { sql: MEASURES, values: [wanted] };
}

/** The answer to {@link measuresOf}. */
export function measuredBodies(rows: readonly object[]): Map<Hash, Body> {
  return new Map((rows as Omit<Body, 'bytes'>[]).map((row) => [row.hash, { ...row, bytes: null }]));
}

/** Measures of stored bodies, sealed ones too. */
export async function storedBodies(
  tx: Transaction,
  hashes: readonly (Hash | null)[],
): Promise<Map<Hash, Body>> {
  const { sql, values } = measuresOf(hashes);
  return measuredBodies(await tx.query(sql, values));
}

/** The plain bodies with these hashes; one that is gone, or sealed, is missing from the map. */
export async function loadBodies(
  tx: Transaction,
  hashes: Iterable<Hash>,
): Promise<Map<Hash, Json>> {
  return decodeBodies(await loadStored(tx, hashes));
}

/** The values of stored bodies. */
export async function decodeBodies(
  stored: ReadonlyMap<Hash, StoredBody>,
): Promise<Map<Hash, Json>> {
  const entries = [...stored].map(async ([hash, body]) => [hash, await decodeBody(body)] as const);
  return new Map(await Promise.all(entries));
}

/** The same bodies as they are stored, for those who take them apart elsewhere. */
export async function loadStored(
  tx: Transaction,
  hashes: Iterable<Hash>,
): Promise<Map<Hash, StoredBody>> {
  const stored = await loadSealed(tx, hashes);
  for (const [hash, body] of stored) if (body.keyId !== null) stored.delete(hash);
  return stored;
}

/** Bodies as they are stored, plain and sealed: for those who can open them. */
export async function loadSealed(
  tx: Transaction,
  hashes: Iterable<Hash>,
): Promise<Map<Hash, SealedBody>> {
  const wanted = [...new Set(hashes)];
  if (wanted.length === 0) return new Map();
  const rows = await tx.query<SealedBody & { hash: Hash }>(
    wantedBlobs('codec, size, body AS bytes, key_id AS "keyId"'),
    [wanted],
  );
  return storedByHash(rows);
}

/** Rows of stored bodies with their hashes, by hash. */
export function storedByHash<Stored extends StoredBody = StoredBody>(
  rows: readonly object[],
): Map<Hash, Stored> {
  return new Map((rows as (Stored & { hash: Hash })[]).map((row) => [row.hash, row]));
}

/** A stored body and what it takes to open it. */
export interface SealedBody extends StoredBody {
  /** Null: the bytes are plain. */
  readonly keyId: string | null;
}

/** A body's bytes as the database has them. */
export interface StoredBody {
  readonly codec: Body['codec'];
  /** Bytes of compact JSON, before compression. */
  readonly size: number;
  readonly bytes: Uint8Array;
}

/** The value of a stored body. */
export async function decodeBody({ codec, bytes }: StoredBody): Promise<Json> {
  const text =
    codec === 'gzip'
      ? await inflate(bytes)
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return JSON.parse(text.toString('utf8')) as Json;
}
