/** The call that searches contexts. */
import { defineCall } from '../call.ts';
import { searchAnswerSchema, searchBodySchema } from './search.ts';

export const SEARCH_CALLS = {
  searchContexts: defineCall({
    id: 'searchContexts',
    method: 'post',
    path: '/api/context/search',
    group: 'Contexts',
    summary: 'Search contexts',
    description:
      'Finds contexts by the words of a question in their key, tags, metadata and data; the more telling the words they have, the higher. A write is found at once, what is deleted or over is not, and encrypted bodies are never indexed. Pages by `cursor` stay stable while others write.',
    scope: 'read',
    body: searchBodySchema,
    answers: { 200: { description: 'A page of results.', schema: searchAnswerSchema } },
    errors: ['VALIDATION', 'INVALID_JSON', 'INVALID_CURSOR', 'SEARCH_MODE_UNAVAILABLE'],
    example: {
      body: { query: 'conversation about API design', options: { tags: ['demo'], limit: 20 } },
    },
  }),
} as const;
