/** BM25 as the textbook has it, over every context and in memory: what a search is measured by. */
import { wordsOf } from '../store/search/words.ts';
import type { Turn } from './locomo.ts';

const K1 = 1.2;
const B = 0.75;

interface Counted {
  readonly key: string;
  readonly words: number;
  readonly counts: ReadonlyMap<string, number>;
}

/** Ranks the turns of one conversation; each conversation has its own statistics. */
export function inMemoryBm25(
  turns: readonly Turn[],
): (query: string, prefix: string, first: number) => string[] {
  const all = turns.map(countWords);
  return (query, prefix, first) => {
    const among = all.filter(({ key }) => key.startsWith(prefix));
    const mean = among.reduce((sum, { words }) => sum + words, 0) / among.length;
    const terms = [...new Set(wordsOf(query).map(({ term }) => term))].map((term) => {
      const having = among.filter(({ counts }) => counts.has(term)).length;
      return { term, weight: Math.log(1 + (among.length - having + 0.5) / (having + 0.5)) };
    });
    const scoreOf = ({ counts, words }: Counted): number =>
      terms.reduce((sum, { term, weight }) => {
        const count = counts.get(term) ?? 0;
        return sum + (weight * count * (K1 + 1)) / (count + K1 * (1 - B + (B * words) / mean));
      }, 0);
    return among
      .map((each) => ({ key: each.key, score: scoreOf(each) }))
      .filter(({ score }) => score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, first)
      .map(({ key }) => key);
  };
}

function countWords({ key, data }: Turn): Counted {
  const counts = new Map<string, number>();
  const words = wordsOf(Object.values(data).join('\n'));
  for (const { term } of words) counts.set(term, (counts.get(term) ?? 0) + 1);
  return { key, words: words.length, counts };
}
