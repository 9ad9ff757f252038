/** The bundle's entry: every workflow the worker can run. */
export { pulse } from './pulse.ts';
export { resolveConflict } from './resolve-conflict.ts';
export { syncLink } from './sync-link.ts';
