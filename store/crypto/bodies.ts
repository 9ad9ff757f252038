/**
 * Bodies of contexts as the API's writers and readers have them: plain or sealed, by what the
 * context says. A sealed body opens only for its tenant, its context and its name, and an encrypted
 * context is never read from a plain body, nor a plain one from a sealed body.
 */
import { AppError } from '../../domain/errors.ts';
import type { Hash } from '../../domain/hash.ts';
import type { ContextKey, TenantId } from '../../domain/ids.ts';
import type { Json } from '../../domain/json.ts';
import {
  decodeBody,
  loadSealed,
  packText,
  plainBody,
  textOf,
  type Body,
  type PackedText,
  type SealedBody,
} from '../blobs.ts';
import type { Transaction } from '../database.ts';
import type { Keyring } from './keyring.ts';
import { keyedHash, open, seal, tampered, type Binding } from './seal.ts';

/** A body on its way in: measured and compressed, before anybody knows whether it is to be sealed. */
export interface DraftBody extends PackedText {
  /** Canonical JSON. */
  readonly text: Buffer;
}

/** Whose body it is, and whether it is to be sealed. */
export interface BodyPlace {
  readonly tenant: TenantId;
  readonly key: ContextKey;
  readonly encrypt: boolean;
}

/** A stored body as a context or version row names it. */
export interface BodyRef {
  readonly key: ContextKey;
  readonly hash: Hash;
  readonly encrypted: boolean;
}

export interface Bodies {
  /**
   * Whether a version is to be sealed: as its writer says; else an encrypted context stays so, and
   * others are as the server is set. `isEncrypted`: the current version; null: there is none.
   */
  isSealed(asked: boolean | undefined, isEncrypted: boolean | null): boolean;
  /** Prepares a body outside any transaction. `compress`: force, forbid, or (undefined) by size. */
  draft(value: Json, compress?: boolean): Promise<DraftBody>;
  /** The body to be written. @throws AppError ENCRYPTION_NOT_CONFIGURED */
  finish(tx: Transaction, draft: DraftBody, place: BodyPlace): Promise<Body>;
  /**
   * Values by hash; a body that is gone is missing.
   * @throws AppError ENCRYPTION_NOT_CONFIGURED, DECRYPTION_FAILED
   */
  load(tx: Transaction, tenant: TenantId, refs: readonly BodyRef[]): Promise<Map<Hash, Json>>;
}

export interface BodiesDeps {
  /** Null: no master key is configured. */
  readonly keyring: Keyring | null;
  /** Whether new contexts are sealed unless their writer says otherwise. */
  readonly isDefault: boolean;
  /** Bodies above this many bytes are compressed unless told otherwise. */
  readonly compressAbove?: number | undefined;
}

export function createBodies({ keyring, isDefault, compressAbove }: BodiesDeps): Bodies {
  async function valueOf(tx: Transaction, tenant: TenantId, { ref, body }: Found): Promise<Json> {
    if (ref.encrypted !== (body.keyId !== null)) throw tampered();
    if (body.keyId === null) return decodeBody(body);
    const keys = await required(keyring).find(tx, tenant, [body.keyId]);
    const binding = bodyBinding({ tenant, key: ref.key, hash: ref.hash, codec: body.codec });
    const bytes = open(keys.get(body.keyId)!, body.bytes, binding);
    return decodeBody({ ...body, bytes });
  }

  return {
    isSealed: (asked, isEncrypted) => asked ?? (isEncrypted === true || isDefault),

    async draft(value, compress) {
      const text = textOf(value);
      return { text, ...(await packText(text, { compress, compressAbove })) };
    },

    async finish(tx, draft, { tenant, key, encrypt }) {
      if (!encrypt) return { ...plainBody(draft.text, draft), text: draft.text };
      const ring = required(keyring);
      const { data, id } = await ring.current(tx, tenant);
      const hash = sealedHash(id.key, { tenant, key, text: draft.text });
      const binding = bodyBinding({ tenant, key, hash, codec: draft.codec });
      const { randomBytes } = ring;
      const bytes = seal(data.key, draft.bytes, { binding, randomBytes });
      return {
        hash,
        codec: draft.codec,
        size: draft.text.length,
        bytes,
        keyId: data.id,
        sealedFor: key,
      };
    },

    async load(tx, tenant, refs) {
      const stored = await loadSealed(
        tx,
        refs.map((ref) => ref.hash),
      );
      const values = new Map<Hash, Json>();
      for (const ref of refs) {
        const body = stored.get(ref.hash);
        if (body) values.set(ref.hash, await valueOf(tx, tenant, { ref, body }));
      }
      return values;
    },
  };
}

interface Found {
  readonly ref: BodyRef;
  readonly body: SealedBody;
}

/** Name of a sealed body: equal for equal bodies of one context only, and not to be guessed. */
export function sealedHash(
  idKey: Buffer,
  { tenant, key, text }: { tenant: TenantId; key: ContextKey; text: Uint8Array },
): Hash {
  return keyedHash(idKey, ['syncline body', tenant, key], text).toString('hex') as Hash;
}

/** What a sealed body is bound to. The key that sealed it need not be: no other one opens it. */
export function bodyBinding(of: {
  readonly tenant: TenantId;
  readonly key: ContextKey;
  readonly hash: Hash;
  readonly codec: Body['codec'];
}): Binding {
  return ['syncline body', of.tenant, of.key, of.hash, of.codec];
}

function required(keyring: Keyring | null): Keyring {
  if (keyring) return keyring;
  throw new AppError(
    'ENCRYPTION_NOT_CONFIGURED',
    'this server has no key for encrypted contexts; set CONTEXT_ENCRYPTION_KEY',
  );
}
