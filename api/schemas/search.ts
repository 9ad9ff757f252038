/** What goes into and comes out of a search. */
import { z } from 'zod';
import {
  envelopeSchema,
  foreignIdSchema,
  MAX_KIND_CODE_POINTS,
  MAX_TAGS,
  tagSchema,
} from './contexts.ts';
import { cursorSchema, nameSchema, prefixSchema, wholeNumber } from './values.ts';

const MAX_QUERY_LENGTH = 10_000;
const MAX_LIMIT = 100;
const DEFAULT_LIMIT = 20;
/** No more contexts are ranked for one search. */
const MAX_OFFSET = 1_000;

const searchOptionsSchema = z
  .strictObject({
    sessionId: foreignIdSchema.optional(),
    agentId: foreignIdSchema.optional(),
    tags: z
      .array(tagSchema)
      .max(MAX_TAGS)
      .readonly()
      .optional()
      .meta({ description: 'Contexts that have all of them.' }),
    prefix: prefixSchema.optional(),
    kind: nameSchema(MAX_KIND_CODE_POINTS).optional(),
    mode: z.enum(['text', 'semantic', 'hybrid']).default('text').meta({
      description:
        '`text`: by words. There are no vectors yet, so `hybrid` ranks by words alone (`scores.vector` is null) and `semantic` answers SEARCH_MODE_UNAVAILABLE.',
    }),
    limit: wholeNumber(1, MAX_LIMIT)
      .default(DEFAULT_LIMIT)
      .meta({
        description: `Results per page, at most ${MAX_LIMIT}.`,
      }),
    offset: wholeNumber(0, MAX_OFFSET).default(0).meta({
      description: 'Results to leave out first; not together with `cursor`.',
    }),
    cursor: cursorSchema.optional(),
  })
  .refine(({ offset, cursor }) => cursor === undefined || offset === 0, {
    error: 'must not be given together with `cursor`',
    path: ['offset'],
  })
  .meta({ id: 'SearchOptions' });

export const searchBodySchema = z.strictObject({
  query: z.string().max(MAX_QUERY_LENGTH).meta({
    description: 'Words or a question; any text will do. Empty: the newest first.',
  }),
  options: searchOptionsSchema.prefault({}),
});

const scoreSchema = z.number().nullable();

export const searchHitSchema = envelopeSchema
  .extend({
    score: z.number().meta({ description: 'Results are ordered by it; 0 for an empty query.' }),
    scores: z
      .object({ text: scoreSchema, vector: scoreSchema })
      .meta({ description: 'What the score is made of; null: did not count.' }),
    highlight: z.string().nullable().meta({
      description:
        'Where the words are: HTML-escaped text, each word found in `<mark>`. Null when they are in no text that may be shown (an encrypted body is not).',
    }),
  })
  .meta({ id: 'SearchHit', description: 'A context without its data, and why it was found.' });

export const searchAnswerSchema = z
  .object({
    results: z.array(searchHitSchema).readonly(),
    total: z.int().meta({ description: 'How many contexts were found, up to 1000.' }),
    totalIsExact: z.boolean().meta({
      description: 'False: there may be more than `total`; the best of them were ranked.',
    }),
    took: z.int().meta({ description: 'Milliseconds.' }),
    nextCursor: z
      .string()
      .nullable()
      .meta({ description: 'For the next page of the same search; null on the last.' }),
    pending: z.int().optional().meta({
      description:
        'Contexts a large sync has just written that cannot be found yet; search again in a moment. Missing: none.',
    }),
  })
  .meta({ id: 'SearchAnswer' });
