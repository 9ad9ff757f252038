/** Writes docs/errors.md from the error codes; a unit test proves that the file is up to date. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { ERROR_CODES } from '../domain/errors.ts';

const HEAD = `# Error codes

<!-- Written by dev/generate-error-docs.ts from domain/errors.ts. Do not edit. -->

The API answers errors as \`application/problem+json\` (RFC 9457) with \`type\`, \`title\`, \`status\`, \`code\`, \`detail\`, \`requestId\` and, where fields are to blame, \`errors[]\` with a JSON pointer each. The command prints \`error CODE: detail\`. The same codes appear in runs, quarantined items and logs; codes that never leave the process through the API have a status all the same.

A mismatch of \`If-Match\` or \`If-None-Match\` answers 412 with the code \`VERSION_CONFLICT\`; a URI over 8 KiB answers 414 with the code \`VALIDATION\`, and \`/context-ws\` without an upgrade 426.
`;

/** The text of docs/errors.md. */
export function errorDocs(): string {
  const sections = Object.entries(ERROR_CODES).map(
    ([code, [status, title, advice]]) =>
      `## ${code}\n\n**${title}.** Status ${status}.\n\n${advice}\n`,
  );
  return [HEAD, ...sections].join('\n');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(new URL('../docs/errors.md', import.meta.url), errorDocs());
}
