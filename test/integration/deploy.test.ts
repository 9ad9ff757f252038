/**
 * What `deploy/` promises: every metric in the dashboard and the rules is one that a process really
 * tells, and the rules do what they say, judged by Prometheus' own promtool where it can be had.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { findCommand, isExecutable } from '../../dev/find-command.ts';
import { loadConfig } from '../../main/config.ts';
import { createMetrics } from '../../main/metrics/metrics.ts';
import { callApi, startTestApi, testApiDeps } from '../support/api-under-test.ts';
import { createStoreDouble } from '../support/store-double.ts';

const run = promisify(execFile);
const DEPLOY = fileURLToPath(new URL('../../deploy/', import.meta.url));
/** Told by Prometheus itself. */
const NOT_OURS = new Set(['up', 'ALERTS']);

interface Rules {
  readonly groups: readonly { readonly rules: readonly { alert: string; expr: string }[] }[];
}
interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

let folder: string;
let families: ReadonlySet<string>;
let thresholds: ReadonlySet<string>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-deploy-'));
  const { alerts } = loadConfig({}, emptyFile());
  const measures = createMetrics({ version: '1', role: 'all-in-one', alerts });
  const server = await startTestApi(testApiDeps(createStoreDouble(), { measures }));
  const { text } = await callApi(server.url, 'GET /metrics');
  await server.stop(1_000);
  families = familiesOf(text);
  thresholds = new Set(Object.keys(alerts));
});
afterAll(() => rmSync(folder, { recursive: true }));

function emptyFile(): string {
  const file = join(folder, 'context.yaml');
  writeFileSync(file, '');
  return file;
}

/** Names one may ask for: of a histogram, its parts too. */
function familiesOf(text: string): Set<string> {
  const told = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  return new Set(
    told.flatMap(([, name, type]) =>
      type === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name! + end) : [name!],
    ),
  );
}

/** Metric names in an expression: what is neither a word of the language, a function nor a label. */
function metricsIn(expr: string): string[] {
  const bare = expr
    .replace(/"(?:[^"\\]|\\.)*"/g, '')
    .replace(/\{[^}]*\}/g, '')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)/g, '');
  const words = [...bare.matchAll(/[a-zA-Z_:][\w:]*\b(?!\s*\()/g)].map(([word]) => word);
  return words.filter((word) => !['by', 'and', 'or', 'unless', 'bool', 'offset'].includes(word));
}

function rulesOf(): readonly { alert: string; expr: string }[] {
  const { groups } = parse(readFileSync(join(DEPLOY, 'alert-rules.yml'), 'utf8')) as Rules;
  return groups.flatMap((group) => group.rules);
}

function panelsOf(): readonly { title: string; expr: string }[] {
  const file = readFileSync(join(DEPLOY, 'grafana-dashboard.json'), 'utf8');
  const { panels } = JSON.parse(file) as Dashboard;
  return panels.flatMap(({ title, targets }) =>
    (targets ?? []).map(({ expr }) => ({ title, expr })),
  );
}

describe('deploy/', () => {
  it('the seed’s four names are told, and looked at by the dashboard', () => {
    const asked = panelsOf().flatMap(({ expr }) => metricsIn(expr));
    for (const name of [
      'context_operations_total',
      'context_cache_hit_ratio',
      'context_response_time_bucket',
      'context_storage_size',
    ]) {
      expect(families).toContain(name);
      expect(asked).toContain(name);
    }
  });

  it('every metric in the dashboard is one that a process tells', () => {
    const panels = panelsOf();
    expect(panels.length).toBeGreaterThan(25);
    for (const { title, expr } of panels)
      for (const name of metricsIn(expr))
        expect(NOT_OURS.has(name) || families.has(name), `${title}: ${name}`).toBe(true);
  });

  it('every metric and threshold in the rules is one that a process tells', () => {
    const used = new Set<string>();
    for (const { alert, expr } of rulesOf()) {
      expect(metricsIn(expr).length, alert).toBeGreaterThan(0);
      for (const name of metricsIn(expr))
        expect(NOT_OURS.has(name) || families.has(name), `${alert}: ${name}`).toBe(true);
      for (const [, name] of expr.matchAll(/syncline_alert_threshold\{name="(\w+)"\}/g))
        used.add(name!);
    }
    expect([...used].sort()).toEqual([...thresholds].sort());
  });

  it('every alert is explained in docs/troubleshooting.md, every metric in docs/metrics.md', () => {
    const page = (name: string): string =>
      readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8');
    for (const { alert } of rulesOf()) expect(page('troubleshooting')).toContain(alert);
    const own = [...families].filter((name) => !/^(process|nodejs)_/.test(name));
    for (const name of own)
      expect(page('metrics')).toContain(`\`${name.replace(/_(bucket|sum|count)$/, '')}`);
  });
});

describe('docker-compose.yml', () => {
  interface Service {
    readonly command?: readonly string[];
    readonly environment: Readonly<Record<string, string>>;
    readonly env_file?: readonly { readonly path: string; readonly required: boolean }[];
  }
  const text = (name: string): string =>
    readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
  const { services } = parse(text('docker-compose.yml'), { merge: true }) as {
    services: Readonly<Record<string, Service>>;
  };
  const roles = Object.entries(services).filter(([, { command }]) =>
    command?.includes('dist/main/run.js'),
  );
  /** Theirs are the servers of this file, and what is the same in each container. */
  const FIXED = new Set([
    ...['POSTGRES_HOST', 'DATABASE_URL', 'REDIS_URL', 'REDIS_PASSWORD', 'SYNCLINE_HOME'],
    ...['TEMPORAL_POSTGRES_PASSWORD', 'TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE', 'CONTEXT_AUTH'],
    ...['CONTEXT_API_HOST', 'CONTEXT_API_PORT', 'SYNCLINE_METRICS_PORT', 'BACKUP_DIRECTORY'],
  ]);

  it('lets every variable of .env.example reach every role', () => {
    const names = [...text('.env.example').matchAll(/^(?:# )?([A-Z][A-Z0-9_]+)=/gm)].map(
      ([, name]) => name!,
    );
    expect(names).toContain('CONTEXT_ENCRYPTION_OLD_KEYS');
    expect(names).toContain('CONTEXT_TRUST_PROXY');
    expect(roles.map(([name]) => name)).toHaveLength(5);
    for (const [role, { environment, env_file: files }] of roles) {
      expect(files, role).toContainEqual({ path: '.env', required: false });
      for (const name of names.filter((each) => !FIXED.has(each))) {
        const given = environment[name];
        const isPassedOn = given === undefined || given.startsWith(`\${${name}:`);
        expect(isPassedOn, `${role}: ${name}=${given}`).toBe(true);
      }
    }
  });

  it('lets Prometheus scrape each worker, and makes backups in one role only', () => {
    for (const [role, { environment }] of roles) {
      expect(environment['SYNCLINE_METRICS_PORT'], role).toBe('9100');
      expect(environment['BACKUP_DIRECTORY'], role).toBe(
        role === 'context-backup' ? '/backups' : '',
      );
    }
  });
});

const promtool =
  findCommand('promtool') ??
  [join(homedir(), '.cache', 'syncline', 'bin', 'promtool')].find(isExecutable) ??
  null;

describe.skipIf(promtool === null)('deploy/, judged by promtool', () => {
  it('the rules and the sample configuration are valid', async () => {
    await run(promtool!, ['check', 'rules', join(DEPLOY, 'alert-rules.yml')]);
    await run(promtool!, ['check', 'config', join(DEPLOY, 'prometheus.yml')]);
  });

  it('the rules fire when they should, and only then', async () => {
    const { stdout } = await run(promtool!, [
      'test',
      'rules',
      join(DEPLOY, 'alert-rules.test.yml'),
    ]);
    expect(stdout).toContain('SUCCESS');
  });

  it('every alert has its test', () => {
    const tests = readFileSync(join(DEPLOY, 'alert-rules.test.yml'), 'utf8');
    for (const { alert } of rulesOf()) expect(tests).toContain(`alertname="${alert}"`);
  });

  it('every expression of the dashboard can be evaluated', async () => {
    const rules = panelsOf().map(({ expr }, nth) => ({
      record: `panel:${nth}`,
      expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$job', 'syncline.*'),
    }));
    const file = join(folder, 'panels.yml');
    writeFileSync(file, stringify({ groups: [{ name: 'panels', rules }] }));
    await run(promtool!, ['check', 'rules', '--no-lint-fatal', file]);
  });
});
