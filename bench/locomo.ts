/** Reads LoCoMo's file (snap-research/locomo, `data/locomo10.json`; CC BY-NC 4.0, not part of ours). */
import { z } from 'zod';

export interface Turn {
  readonly key: string;
  readonly data: { readonly speaker: string; readonly text: string; readonly picture: string };
}

export interface Question {
  readonly text: string;
  /** Of the keys of the conversation it is about. */
  readonly prefix: string;
  /** Keys of the turns that answer it. */
  readonly evidence: readonly string[];
}

const turnSchema = z.looseObject({
  speaker: z.string(),
  dia_id: z.string(),
  text: z.string(),
  blip_caption: z.string().optional(),
});
const fileSchema = z.array(
  z.looseObject({
    sample_id: z.string(),
    conversation: z.record(z.string(), z.unknown()),
    qa: z.array(
      z.looseObject({
        question: z.string(),
        evidence: z.array(z.string()).default([]),
        category: z.int(),
      }),
    ),
  }),
);

/** Questions that have no answer are of this category. */
const UNANSWERABLE = 5;

/** All turns, and the questions that have an answer whose turns are named. */
export function readQuestions(file: unknown): { turns: Turn[]; questions: Question[] } {
  const turns: Turn[] = [];
  const questions: Question[] = [];
  for (const { sample_id: id, conversation, qa } of fileSchema.parse(file)) {
    const prefix = `locomo/${id}/`;
    for (const session of Object.values(conversation).filter(Array.isArray)) {
      for (const { speaker, dia_id, text, blip_caption = '' } of z
        .array(turnSchema)
        .parse(session)) {
        turns.push({ key: prefix + dia_id, data: { speaker, text, picture: blip_caption } });
      }
    }
    for (const { question, evidence, category } of qa) {
      const named = evidence.flatMap((each) => each.match(/D\d+:\d+/g) ?? []);
      if (category === UNANSWERABLE || named.length === 0) continue;
      questions.push({ text: question, prefix, evidence: named.map((each) => prefix + each) });
    }
  }
  return { turns, questions };
}
