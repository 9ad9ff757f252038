/** A thread's entry when we run from the sources: threads do not inherit their parent's loader. */
import { register } from 'tsx/esm/api';

register();

export const { encode, merge, translate, judge } = await import('./heavy-tasks.ts');
