/**
 * Work on bodies, each done where it hurts nobody: small ones here and now, large ones in a thread.
 */
import type { Json } from '../../domain/json.ts';
import { encodeBody, type Body, type StoredBody } from '../../store/contract.ts';
import {
  judge,
  merge,
  translate,
  type BodyMerge,
  type BodyTranslation,
  type Fitness,
  type HeavyTasks,
  type MergedBody,
} from './heavy-tasks.ts';
import type { Threads, Worked } from './threads.ts';
import { LARGE_BYTES, MAX_WEIGHT, weigh } from './weigh.ts';

export interface BodyWork {
  /** A value ready to be stored. Refused: too many values, or it took too long. */
  encode(value: Json): Promise<Worked<Body>>;
  /** The same where a write has been done already and must be recorded, however long it takes. */
  encodeAnyway(value: Json): Promise<Body>;
  merge(request: BodyMerge): Promise<Worked<MergedBody>>;
  translate(request: BodyTranslation): Promise<Worked<Body>>;
  judge(item: Parameters<HeavyTasks['judge']>[0]): Promise<Worked<Fitness>>;
}

/** `threads` null: everything is done here, however large. */
export function createBodyWork(threads: Threads | null): BodyWork {
  async function encode(value: Json): Promise<Worked<Body>> {
    const { weight, chars } = weigh(value);
    if (weight > MAX_WEIGHT) return { status: 'refused', detail: TOO_COMPLEX };
    if (!threads || chars <= LARGE_BYTES) return done(await encodeBody(value));
    return buffered(await threads.run('encode', { value }));
  }

  return {
    encode,
    async encodeAnyway(value) {
      const worked = await encode(value);
      return worked.status === 'done' ? worked.result : encodeBody(value);
    },
    async merge(request) {
      const { base, hub, remote } = request;
      const bodies = base ? [base.hub, base.remote, hub, remote] : [hub, remote];
      if (!threads || areSmall(bodies)) return done(await merge(request));
      const worked = await threads.run('merge', {
        ...request,
        base: base && { hub: apart(base.hub), remote: apart(base.remote) },
        hub: apart(hub),
        remote: apart(remote),
      });
      return worked.status === 'done' ? done(withBuffers(worked.result)) : worked;
    },
    async translate(request) {
      const { base, remote } = request;
      if (!threads || areSmall([base.hub, base.remote, remote])) {
        return done(await translate(request));
      }
      const bases = { hub: apart(base.hub), remote: apart(base.remote) };
      return buffered(
        await threads.run('translate', { ...request, base: bases, remote: apart(remote) }),
      );
    },
    async judge(item) {
      if (!threads || areSmall([item.body])) return done(await judge(item));
      return threads.run('judge', { ...item, body: apart(item.body) });
    },
  };
}

/** Why an item with more than {@link MAX_WEIGHT} values rests. */
export const TOO_COMPLEX = `it has more than ${MAX_WEIGHT} values; split it`;

function done<Result>(result: Result): Worked<Result> {
  return { status: 'done', result };
}

function areSmall(bodies: readonly StoredBody[]): boolean {
  return bodies.every(({ size }) => size <= LARGE_BYTES);
}

/** A view's whole memory would be sent along with it, and what Postgres sent is one such block. */
function apart(body: StoredBody): StoredBody {
  return { ...body, bytes: new Uint8Array(body.bytes) };
}

/** Buffers arrive from a thread as plain byte arrays. */
function buffer(body: Body): Body {
  const { bytes } = body;
  if (!bytes) return body;
  return { ...body, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

function buffered(worked: Worked<Body>): Worked<Body> {
  return worked.status === 'done' ? done(buffer(worked.result)) : worked;
}

function withBuffers(merged: MergedBody): MergedBody {
  if (merged.status === 'conflict') return { ...merged, proposal: buffer(merged.proposal) };
  return { ...merged, body: merged.body && buffer(merged.body) };
}
