/** The docs page: the OpenAPI document as one HTML page. Needs no script. */
import { ERROR_CODES } from '../../domain/errors.ts';
import { escapeHtml } from '../../domain/escape-html.ts';
import { CALLS, type Call } from '../contract.ts';
import type { OpenApiDocument } from '../openapi.ts';
import { codesOf } from '../openapi.ts';
import { DOCS_CSS } from './docs-css.ts';
import { code, inline } from './html.ts';
import { schemaTable, typeText, type Components, type SchemaNode } from './schema-html.ts';

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema: SchemaNode }>> };
  readonly responses?: Readonly<Record<string, Response>>;
}
interface Parameter {
  readonly in: string;
  readonly name: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: SchemaNode;
}
interface Response {
  readonly description: string;
  readonly content?: Readonly<Record<string, { schema: SchemaNode }>>;
}

/** Where the examples find the API, unless the reader came another way. */
export const EXAMPLE_BASE = 'http://127.0.0.1:3100';

/** The whole page; its examples call {@link EXAMPLE_BASE}. */
export function docsPage(document: OpenApiDocument): string {
  const components = (document.components?.schemas ?? {}) as Components;
  const calls = CALLS.map((call) => callSection(call, operationOf(document, call), components));
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Syncline API</title><style>${DOCS_CSS}</style></head>
<body><div class="page">${navigation()}<main>
<h1>Syncline API <span class="dim">${escapeHtml(document.info.version)}</span></h1>
<p>${inline(document.info.description ?? '')}</p>
<p>The same as data: <a href="/api/context/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
${calls.join('')}${besidesSection()}${errorSection()}</main></div></body></html>
`;
}

function operationOf(document: OpenApiDocument, call: Call): Operation {
  const item = document.paths?.[call.path] as Readonly<Record<string, Operation>> | undefined;
  return item?.[call.method] ?? {};
}

function navigation(): string {
  const groups = [...new Set(CALLS.map((call) => call.group))].map((group) => {
    const links = CALLS.filter((call) => call.group === group).map(
      (call) => `<li><a href="#${call.id}">${escapeHtml(call.summary)}</a></li>`,
    );
    return `<h2>${group}</h2><ul>${links.join('')}</ul>`;
  });
  return `<nav aria-label="Calls">${groups.join('')}<h2>More</h2><ul><li><a href="#besides">WebSocket and metrics</a></li><li><a href="#errors">Error codes</a></li></ul></nav>`;
}

function callSection(call: Call, operation: Operation, components: Components): string {
  const scopes = [call.scope, call.orScope].filter(Boolean).map((scope) => `\`${scope}\``);
  const scope =
    scopes.length === 0 ? 'Needs no key.' : `Needs a key with scope ${scopes.join(' or ')}.`;
  return `<section class="call" id="${call.id}"><h3>${escapeHtml(call.summary)}</h3>
<p class="target"><span class="${call.method}">${call.method.toUpperCase()}</span> ${escapeHtml(call.path)}</p>
<p>${inline(call.description ?? '')} <span class="dim">${inline(scope)}</span></p>
${parameterTable(operation.parameters ?? [])}${bodyTable(operation, components)}
${answers(operation, components)}
<h4>Errors</h4><p>${codesOf(call).map(codeLink).join(' · ')}</p>
<h4>Example</h4><pre><code>${escapeHtml(curl(call))}</code></pre></section>`;
}

function parameterTable(parameters: readonly Parameter[]): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map((parameter) => {
    const optional = parameter.required ? '' : ' <span class="dim">optional</span>';
    const text = parameter.description ?? parameter.schema.description ?? '';
    return `<tr><td>${code(parameter.name)}${optional}</td><td>${parameter.in}</td><td>${typeText(parameter.schema)}</td><td>${inline(text)}</td></tr>`;
  });
  return `<h4>Parameters</h4><div class="scroll"><table><tr><th>Name</th><th>In</th><th>Type</th><th>Meaning</th></tr>${rows.join('')}</table></div>`;
}

function bodyTable(operation: Operation, components: Components): string {
  const schema = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  return schema ? `<h4>Body</h4>${schemaTable(schema, components)}` : '';
}

function answers(operation: Operation, components: Components): string {
  const shown = Object.entries(operation.responses ?? {})
    .filter(([, response]) => !('application/problem+json' in (response.content ?? {})))
    .map(([status, response]) => {
      const schema = Object.values(response.content ?? {})[0]?.schema;
      const title = `${code(status)} ${inline(response.description)}`;
      return schema
        ? `<details><summary>${title}</summary>${schemaTable(schema, components)}</details>`
        : `<p>${title}</p>`;
    });
  return `<h4>Answers</h4>${shown.join('')}`;
}

const codeLink = (name: string): string => `<a href="#${name}">${name}</a>`;

function curl(call: Call): string {
  const url = `${EXAMPLE_BASE}${call.example?.path ?? call.path}`;
  const verb = call.method === 'get' ? '' : `-X ${call.method.toUpperCase()} `;
  return `curl ${verb}'${url}'${curlBody(call)}`;
}

function curlBody({ example, streams }: Call): string {
  const send = (type: string, data: string): string =>
    ` \\\n  -H 'Content-Type: ${type}' \\\n  ${data}`;
  // `-d` would take the line ends out of a file.
  if (streams?.body) return send(streams.body, `--data-binary @${example?.file}`);
  if (example?.body === undefined) return '';
  return send('application/json', `-d '${JSON.stringify(example.body)}'`);
}

/** What is no call of the contract; each can be switched off. */
const BESIDES = [
  '`/context-ws` is a WebSocket that tells changes of contexts as they are committed; a key needs the scope `read`. Send `{"type":"subscribe-context","payload":{"key":"my-context"}}`. All its messages: `docs/websocket.md`.',
  '`/metrics` tells numbers in Prometheus’ text format, without a key to programs on the same machine. All of them: `docs/metrics.md`.',
];

function besidesSection(): string {
  const texts = BESIDES.map((text) => `<p>${inline(text)}</p>`).join('');
  return `<section class="call" id="besides"><h3>WebSocket and metrics</h3>${texts}</section>`;
}

function errorSection(): string {
  const rows = Object.entries(ERROR_CODES).map(
    ([name, [status, title, text]]) =>
      `<tr id="${name}"><td>${code(name)}</td><td>${status}</td><td>${inline(title)}. ${inline(text)}</td></tr>`,
  );
  return `<section class="call" id="errors"><h3>Error codes</h3><p>${inline('An error answer is `application/problem+json`: `type, title, status, code, detail, requestId` and, where fields are to blame, `errors[]` with a JSON pointer each.')}</p><div class="scroll"><table><tr><th>Code</th><th>Status</th><th>Meaning</th></tr>${rows.join('')}</table></div></section>`;
}
