/** Names of places in JSON (RFC 6901). */

/** Pointer of a member or element of the place `parent` points to. */
export function pointerTo(parent: string, step: string | number): string {
  return `${parent}/${escapeStep(String(step))}`;
}

/** A name as it is written between two slashes. */
export function escapeStep(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** The name that is written so between two slashes. */
export function unescapeStep(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}
