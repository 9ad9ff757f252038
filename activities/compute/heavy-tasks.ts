/**
 * The work on bodies that may take long, as plain functions: a worker thread calls them by name for
 * large bodies, the event loop's own thread for small ones. Bodies come and go as stored bytes, so
 * that a large one is never taken apart where others wait.
 */
import { itemName, shapeFault, type ItemKind } from '../../domain/item.ts';
import type { Json } from '../../domain/json.ts';
import type { ConflictReason } from '../../domain/link.ts';
import { decodeBody, encodeBody, type Body, type StoredBody } from '../../store/contract.ts';
import type { Stamps, SyncPolicy } from '../../sync/contract.ts';
import { mergeItem, translateRemote } from '../../sync/merge-item.ts';
import { MAX_WEIGHT, weigh } from './weigh.ts';

/** Two edits of one item, as stored; see `MergeRequest`. */
export interface BodyMerge {
  readonly kind: ItemKind;
  readonly base: { readonly hub: StoredBody; readonly remote: StoredBody } | null;
  readonly hub: StoredBody;
  readonly remote: StoredBody;
  readonly stamps: Stamps;
  readonly policy: SyncPolicy;
}

/** `MergeResult` with its document ready to be stored. */
export type MergedBody =
  | {
      readonly status: 'merged';
      /** Null: neither side changes. */
      readonly body: Body | null;
      readonly changesHub: boolean;
      readonly changesRemote: boolean;
    }
  | {
      readonly status: 'conflict';
      readonly reason: ConflictReason;
      readonly pointers: readonly string[];
      readonly proposal: Body;
    };

export interface BodyTranslation {
  readonly kind: ItemKind;
  readonly base: { readonly hub: StoredBody; readonly remote: StoredBody };
  readonly remote: StoredBody;
}

/** Whether a hub body is an item a remote can be given. */
export type Fitness =
  | { readonly status: 'fit'; readonly name: string }
  /** `where`: a JSON pointer and what is wrong there. */
  | { readonly status: 'unfit'; readonly where: string }
  | { readonly status: 'too-complex' };

export interface HeavyTasks {
  readonly encode: typeof encode;
  readonly merge: typeof merge;
  readonly translate: typeof translate;
  readonly judge: typeof judge;
}

/** A value's canonical bytes and hash, compressed where that pays. */
export async function encode({ value }: { readonly value: Json }): Promise<Body> {
  return sendable(await encodeBody(value));
}

export async function merge(request: BodyMerge): Promise<MergedBody> {
  const { base } = request;
  const result = mergeItem({
    ...request,
    base: base && { hub: await decodeBody(base.hub), remote: await decodeBody(base.remote) },
    hub: await decodeBody(request.hub),
    remote: await decodeBody(request.remote),
  });
  if (result.status === 'conflict') {
    const { reason, pointers } = result;
    const proposal = sendable(await encodeBody(result.proposal));
    return { status: 'conflict', reason, pointers, proposal };
  }
  const { changesHub, changesRemote } = result;
  const isWritten = changesHub || changesRemote;
  const body = isWritten ? sendable(await encodeBody(result.value)) : null;
  return { status: 'merged', body, changesHub, changesRemote };
}

/** The remote's edit in the hub's spelling. */
export async function translate({ kind, base, remote }: BodyTranslation): Promise<Body> {
  const [baseHub, baseRemote, now] = await Promise.all([
    decodeBody(base.hub),
    decodeBody(base.remote),
    decodeBody(remote),
  ]);
  return sendable(
    await encodeBody(translateRemote(kind, { hub: baseHub, remote: baseRemote }, now)),
  );
}

/** Whether a body has its kind's shape, and few enough values to be handed to a connector. */
export async function judge(item: {
  readonly kind: ItemKind;
  readonly body: StoredBody;
}): Promise<Fitness> {
  const value = await decodeBody(item.body);
  if (weigh(value).weight > MAX_WEIGHT) return { status: 'too-complex' };
  const fault = shapeFault(item.kind, value);
  const name = itemName(item.kind, value);
  if (fault === null && name !== null) return { status: 'fit', name };
  return { status: 'unfit', where: fault ?? 'it has no name' };
}

/** Sent between threads, a view takes all of the memory behind it along; so it gets its own. */
function sendable(body: Body): Body {
  const { bytes } = body;
  if (!bytes || bytes.byteLength === bytes.buffer.byteLength) return body;
  return { ...body, bytes: Buffer.from(new Uint8Array(bytes).buffer) };
}
