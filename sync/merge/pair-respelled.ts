/**
 * Finds which element of the remote's body stands for which element of the hub's, where the remote
 * spells them in its own way. Goes by what normalising remotes usually change (white space, marks
 * such as bullets, case and Unicode form) and never guesses between two candidates.
 */

/** An element: what it is called, and the text its spelling is judged by. */
export interface Named {
  readonly id: string;
  readonly spelling: string;
}

export interface Pairing {
  /** Hub id → remote id. A hub element without one is not on the remote, or nobody can tell. */
  readonly imageOf: ReadonlyMap<string, string>;
  /** Remote ids that may stand for a hub element without a partner. */
  readonly doubtful: ReadonlySet<string>;
}

type Fold = (text: string) => string;

const foldSpace: Fold = (text) => text.trim().replace(/\s+/gu, ' ');
const foldMarks: Fold = (text) => text.replace(/[^\p{L}\p{N}]+/gu, '') || text;
const foldCase: Fold = (text) => foldSpace(text).normalize('NFKC').toLowerCase();
const foldAll: Fold = (text) => foldMarks(foldCase(text));
/** From the finest to the coarsest. */
const FOLDS: readonly Fold[] = [foldSpace, foldMarks, foldCase, foldAll];

/** Pairs the elements of the last agreed body, hub's spelling with remote's. */
export function pairRespelled(hub: readonly Named[], remote: readonly Named[]): Pairing {
  const imageOf = new Map<string, string>();
  const unpaired = new Map(remote.map((element) => [element.id, element]));
  const orphans = new Map(hub.map((element) => [element.id, element]));
  const pair = (ours: Named, theirs: Named): void => {
    imageOf.set(ours.id, theirs.id);
    orphans.delete(ours.id);
  };
  for (const element of hub) {
    const twin = unpaired.get(element.id);
    if (twin) pair(element, twin);
  }
  for (const id of imageOf.values()) unpaired.delete(id);
  for (const fold of FOLDS) {
    const isAlone = aloneUnder(fold, [...orphans.values()]);
    pairByFold([...orphans.values()].filter(isAlone), [...unpaired.values()], { fold, pair });
    for (const id of imageOf.values()) unpaired.delete(id);
  }
  // Two of ours may have become one of theirs, if there is only one of theirs they can be.
  for (const fold of FOLDS) pairByFold([...orphans.values()], remote, { fold, pair });
  if (orphans.size === 1 && unpaired.size === 1) {
    pair([...orphans.values()][0]!, [...unpaired.values()][0]!);
  }
  return { imageOf, doubtful: doubtfulIds([...orphans.values()], remote, unpaired) };
}

function doubtfulIds(
  orphans: readonly Named[],
  remote: readonly Named[],
  unpaired: ReadonlyMap<string, Named>,
): Set<string> {
  if (orphans.length === 0) return new Set();
  const folded = new Set(orphans.map(({ spelling }) => foldAll(spelling)));
  const alike = remote.filter(({ spelling }) => folded.has(foldAll(spelling)));
  return new Set([...unpaired.keys(), ...alike.map(({ id }) => id)]);
}

function pairByFold(
  orphans: readonly Named[],
  candidates: readonly Named[],
  { fold, pair }: { readonly fold: Fold; readonly pair: (ours: Named, theirs: Named) => void },
): void {
  if (orphans.length === 0) return;
  const byFold = grouped(fold, candidates);
  for (const orphan of orphans) {
    const alike = byFold.get(fold(orphan.spelling)) ?? [];
    if (alike.length === 1) pair(orphan, alike[0]!);
  }
}

function aloneUnder(fold: Fold, elements: readonly Named[]): (element: Named) => boolean {
  const byFold = grouped(fold, elements);
  return ({ spelling }) => byFold.get(fold(spelling))?.length === 1;
}

function grouped(fold: Fold, elements: readonly Named[]): Map<string, Named[]> {
  const groups = new Map<string, Named[]>();
  for (const element of elements) {
    const folded = fold(element.spelling);
    const alike = groups.get(folded);
    if (alike) alike.push(element);
    else groups.set(folded, [element]);
  }
  return groups;
}
