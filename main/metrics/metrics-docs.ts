/** docs/metrics.md, made from the families themselves; a test keeps the two equal. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { Registry } from 'prom-client';
import { exposition } from '../../api/routes/metrics.ts';
import { createFamilies } from './families.ts';

const HEAD = `# Metrics

<!-- Made from main/metrics/families.ts by \`npm run docs\`. Do not edit. -->

Every API process serves \`GET /metrics\` in Prometheus' text format. Programs on the same machine need
no key and see everything. From elsewhere a key with the scope \`root\` sees the same; one with \`read\`
sees the links of its own tenant and nothing of the process.

A sync worker or job worker that is a process of its own serves it too, once it is given a port:

\`\`\`sh
SYNCLINE_METRICS_PORT=9101 node dist/main/run.js sync-worker
curl -s http://127.0.0.1:9101/metrics | grep syncline_passes_total
\`\`\`

That port asks for no key. It listens on the loopback address unless \`metrics.host\` says otherwise.

- **Samples are per process**: with several, sum counters over them. The outbox, queues, links and
  storage are of the whole installation and told by each process alike: take the maximum.
- **Labels are bounded**: calls, outcomes, states, kinds, link ids. A key, tag, path, tenant or address
  never becomes a label. At most 1,000 links are told one by one.
- \`route\` is a template (\`/api/context/get/:key\`); what matches nothing is \`unmatched\`. A caller who
  went away before an answer began counts as status 499.
- \`operation\` is what the call does (\`store\`, \`get\`, \`list\`, \`search\`, \`batch\` …; one batch is one
  operation); \`outcome\` is \`ok\`, \`not_found\`, \`conflict\`, \`refused\` (other 4xx) or \`error\` (5xx).
- \`context_cache_hit_ratio\` is of reads of current versions by key, since the process began; over
  a time of your choice divide \`syncline_cache_hits_total\` by itself and \`syncline_cache_misses_total\`.
- \`context_storage_size\` asks Postgres' catalogue, at most every 30 s; it reads no row.
- What cannot be read when it is scraped (Redis is out, say) is missing, and
  \`syncline_collect_failures_total\` counts it. The scrape itself succeeds.
- Besides these there are the usual \`process_*\` and \`nodejs_*\` families of prom-client.

\`deploy/\` has a dashboard for Grafana (\`grafana-dashboard.json\`), alert rules (\`alert-rules.yml\`) and a
sample \`prometheus.yml\`. The bounds of the rules are the settings \`alerts.*\`: each process tells them as
\`syncline_alert_threshold\`, so they are changed in \`context.yaml\` and nowhere else.

| metric | type | labels | what it is |
| --- | --- | --- | --- |
`;

/** The whole page as Markdown. */
export function metricsDocs(): string {
  const registry = new Registry();
  createFamilies(registry);
  const text = exposition({ links: 0, perLink: [] });
  const links = [...text.matchAll(/^# HELP (\S+) (.+)\n# TYPE \S+ (\S+)$/gm)].map(
    ([, name, help, type]) => ({ name: name!, help: help!, type: type!, labels: labelsOf(name!) }),
  );
  const own = registry.getMetricsAsArray().map((family) => {
    const { name, help, type, labelNames } = family as typeof family & {
      readonly type: string;
      readonly labelNames: readonly string[];
    };
    return { name, help, type, labels: labelNames };
  });
  return HEAD + [...own, ...links].map(row).join('\n') + '\n';
}

/** Labels of the families that are written by hand. */
function labelsOf(name: string): readonly string[] {
  if (name === 'syncline_links') return [];
  return name === 'syncline_link_runs_total' ? ['link', 'status'] : ['link'];
}

function row(of: {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
}): string {
  const labels = of.labels.map((label) => `\`${label}\``).join(', ') || '—';
  return `| \`${of.name}\` | ${of.type} | ${labels} | ${of.help} |`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(new URL('../../docs/metrics.md', import.meta.url), metricsDocs());
}
