/**
 * The documents of the model. Every edit leaves a mark of its own in the body it writes, so that the
 * model can tell from a body alone whose edits it holds.
 */
import { hashJson, type Hash } from '../../domain/hash.ts';
import { canonicalMemory, type Memory } from '../../domain/item.ts';

/** Where users leave their marks. */
export type Profile =
  /** Both sides write the same member: what both changed is a contradiction. */
  | 'contested'
  /** Each adds to a set: what both changed merges. */
  | 'mergeable'
  /** Both sides' first edits write the same. */
  | 'same';

export interface Bodies {
  /** What both sides start from when the item is there at the start. */
  readonly first: Hash;
  /** Bits of the edits whose marks a body bears. */
  marks(hash: Hash): number;
  value(hash: Hash): Memory;
  /** Small number of a body, for keys; 0 is absence. */
  numberOf(hash: Hash | null): number;
  /** The body an edit makes of what is there. */
  edited(current: Hash | null, bit: number): Hash;
  /** The body in the remote's own spelling. */
  respelled(hash: Hash): Hash;
  intern(value: Memory): Hash;
}

interface Known {
  readonly value: Memory;
  readonly number: number;
  readonly marks: number;
}

/** @param marksOf mark of the edit with that bit; */
export function createBodies(
  profile: Profile,
  {
    marksOf,
    normalise,
  }: { marksOf: (bit: number) => string; normalise?: (text: string) => string },
): Bodies {
  const known = new Map<Hash, Known>();
  const edits = new Map<string, Hash>();
  const spelled = new Map<Hash, Hash>();

  function intern(value: Memory): Hash {
    const hash = hashJson(value);
    if (known.has(hash)) return hash;
    const words = [value.type, ...value.observations].map((word) => word.toLowerCase());
    let marks = 0;
    for (let bit = 1; bit < 1 << 10; bit <<= 1) {
      if (words.some((word) => word.trim() === marksOf(bit).toLowerCase())) marks |= bit;
    }
    known.set(hash, { value, number: known.size + 1, marks });
    return hash;
  }

  const empty: Memory = { name: 'n', type: 'first', observations: [], relations: [] };
  const first = intern(empty);

  function makeEdit(current: Hash | null, bit: number): Hash {
    const value = current ? known.get(current)!.value : empty;
    const mark = marksOf(bit);
    if (profile !== 'mergeable') return intern({ ...value, type: mark });
    return intern(canonicalMemory({ ...value, observations: [...value.observations, mark] }));
  }

  return {
    first,
    marks: (hash) => known.get(hash)!.marks,
    value: (hash) => known.get(hash)!.value,
    numberOf: (hash) => (hash === null ? 0 : known.get(hash)!.number),
    edited(current, bit) {
      const key = `${current ?? ''}/${bit}`;
      let made = edits.get(key);
      if (made === undefined) edits.set(key, (made = makeEdit(current, bit)));
      return made;
    },
    respelled(hash) {
      if (!normalise) return hash;
      let made = spelled.get(hash);
      if (made === undefined) {
        const { type, observations, ...rest } = known.get(hash)!.value;
        made = intern(
          canonicalMemory({
            ...rest,
            type: normalise(type),
            observations: observations.map(normalise),
          }),
        );
        spelled.set(hash, made);
      }
      return made;
    },
    intern,
  };
}
