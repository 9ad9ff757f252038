/** How the files of a memory folder are cut into blocks: their frontmatter is none. */
import { frontmatterLength } from '../files/frontmatter.ts';
import { blockParserOf, type Block, type BlockParser } from '../files/markdown/parse-blocks.ts';

/** Reads a text from behind its frontmatter; YAML lines would pass for a heading. */
export function skippingFrontmatter(parse: BlockParser): BlockParser {
  return blockParserOf(function* (text) {
    const by = frontmatterLength(text);
    if (by === 0) return yield* parse.steps(text);
    return (yield* parse.steps(text.slice(by))).map((block) => shifted(block, by));
  });
}

/** A note is one memory, whatever headings it has: they say nothing of their own and stay. */
export function ignoringHeadings(parse: BlockParser): BlockParser {
  return blockParserOf(function* (text) {
    const blocks = yield* parse.steps(text);
    return blocks.map((block) =>
      block.kind === 'heading' ? { ...block, kind: 'comment' } : block,
    );
  });
}

function shifted(block: Block, by: number): Block {
  return {
    ...block,
    start: block.start + by,
    end: block.end + by,
    contentStart: block.contentStart + by,
    contentEnd: block.contentEnd + by,
  };
}
