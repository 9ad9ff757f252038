import type { Bench } from './main.ts';

/** Placeholder. */
export const syncLatency: Bench = { about: '', usage: '', run: async () => undefined };
