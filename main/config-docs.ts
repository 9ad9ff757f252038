/** docs/configuration.md, made from the settings themselves; a test keeps the two equal. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { SETTINGS, type Setting } from './settings.ts';

const HEAD = `# Configuration

<!-- Made from main/settings.ts by \`npm run docs\`. Do not edit. -->

Syncline reads \`context.yaml\` in the working folder (or \`--config <file>\`), then the environment,
which wins. Every fault is reported at once, with its key. A key that is no setting is a fault.

- \`syncline config check\` says every fault at once (exit code 1), and variables that look misspelt.
- \`syncline config show\` prints every value and where it comes from, secrets masked. It is what a
  server started from this shell and folder would use: one that runs already keeps what it was
  started with. Both take \`--json\` and \`--config <file>\`.
- Times are numbers in the unit of their name, or carry one: \`90000\`, \`"90s"\`, \`"15m"\`, \`"6h"\`, \`"30d"\`.
  \`…_ms\` counts milliseconds, \`…_ttl\` and \`…_seconds\` seconds.
- Sizes are bytes, or carry a unit of 1024: \`1024\`, \`"64kb"\`, \`"512mb"\`, \`"1gb"\`.
- \`LOG_LEVEL\` and \`DEBUG\` set what is logged.

| key in \`context.yaml\` | environment | default | what it is |
| --- | --- | --- | --- |
`;

/** The whole page as Markdown. */
export function configDocs(): string {
  return HEAD + SETTINGS.map(row).join('\n') + '\n';
}

function row({ path, env, fallback, about, isSecret }: Setting): string {
  const shown = fallback === null ? '—' : `\`${JSON.stringify(fallback)}\``;
  const secret = isSecret ? ' Secret: never shown or logged.' : '';
  return `| \`${path}\` | ${env ? `\`${env}\`` : '—'} | ${shown} | ${about}${secret} |`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(new URL('../docs/configuration.md', import.meta.url), configDocs());
}
