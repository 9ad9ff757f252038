import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const SCRIPT = 'scripts/context/manage-context-system.js';
const FILE = /\.(?:ts|js|mjs|md|ya?ml|json|example)$|^(?:LICENSE|Dockerfile)$|^\.ci\/run$/;
const METRIC = /^context_[a-z_]+$/;
const NOT_METRICS: ReadonlySet<string> = new Set(['context_system']);

const page = read('docs/seed-002.md');
/** Rows of all tables, without their heads. */
const rows = page
  .split('\n')
  .filter((line) => /^\| (?!sentence|---)/.test(line))
  .map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );

describe('the table of seed document 002', () => {
  it('has for each sentence a place and a test, or says that there is none', () => {
    expect(rows.length).toBeGreaterThan(70);
    for (const cells of rows) {
      expect(cells, cells[0]).toHaveLength(3);
      expect(cells[2], cells[0]).toMatch(
        /^(?:`test\/|run by `|not run$|every test$|see "Not true yet"$|—$)/,
      );
    }
  });

  it('names files and folders that are there', () => {
    const named = rows.flatMap(([, where = '', test = '']) => codesOf(`${where} ${test}`));
    const paths = named.filter((text) => FILE.test(text) || text.endsWith('/'));
    expect(paths.length).toBeGreaterThan(100);
    expect(paths.filter((path) => !existsSync(resolve(ROOT, path)))).toEqual([]);
  });

  it('links to pages that are there', () => {
    expect(deadLinks('docs/seed-002.md')).toEqual([]);
  });

  it('names npm scripts that are there', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: object };
    const named = [...page.matchAll(/`npm run ([\w:]+)/g)].map(([, name = '']) => name);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });

  it('names settings, variables and metrics that are documented', () => {
    const configuration = read('docs/configuration.md');
    const metrics = read('docs/metrics.md');
    const sentences = codesOf(rows.map(([sentence]) => sentence).join(' '));
    const variables = sentences.filter((text) => /^[A-Z]+(?:_[A-Z]+)+$|^DEBUG$/.test(text));
    const settings = sentences.filter((text) =>
      /^(?:database|context|security|production)\.[a-z_.]+$/.test(text),
    );
    const families = sentences.filter((text) => METRIC.test(text) && !NOT_METRICS.has(text));
    expect([variables.length, settings.length, families.length]).toEqual([15, 13, 4]);
    const documented = (text: string): boolean =>
      configuration.includes(`\`${text}\``) || configuration.includes(`\`${text}.`);
    expect([...variables, ...settings].filter((text) => !documented(text))).toEqual([]);
    expect(families.filter((name) => !metrics.includes(`\`${name}\``))).toEqual([]);
  });

  it('names management commands that the script takes', () => {
    const named = [...page.matchAll(/`manage-context-system\.js (\w+)`/g)].map(([, name]) => name);
    expect(new Set(named).size).toBe(9);
    const help = spawnSync(process.execPath, [resolve(ROOT, SCRIPT), '--help'], {
      encoding: 'utf8',
    });
    expect(help.status).toBe(0);
    const taken = /<([\w|]+)>/.exec(help.stdout)?.[1]?.split('|');
    expect(taken?.toSorted()).toEqual([...new Set(named)].toSorted());
    const wrong = spawnSync(process.execPath, [resolve(ROOT, SCRIPT), 'nonsense']);
    expect(wrong.status).toBe(2);
  });
});

describe('the docs', () => {
  const pages = readdirSync(resolve(ROOT, 'docs')).filter((name) => name.endsWith('.md'));

  it('are each linked from the README', () => {
    const readme = read('README.md');
    expect(pages.filter((name) => !readme.includes(`(docs/${name})`))).toEqual([]);
  });

  it.each(['README.md', 'CONTRIBUTING.md', ...pages.map((name) => `docs/${name}`)])(
    '%s links to pages that are there',
    (file) => {
      expect(deadLinks(file)).toEqual([]);
    },
  );
});

function read(path: string): string {
  return readFileSync(resolve(ROOT, path), 'utf8');
}

/** What stands between backticks. */
function codesOf(text: string): string[] {
  return [...text.matchAll(/`([^`\s]+)`/g)].map(([, code = '']) => code);
}

/** Relative links that lead to no file, or to a heading the page does not have. */
function deadLinks(file: string): string[] {
  const folder = resolve(ROOT, file, '..');
  const prose = read(file).replaceAll(/^```[\s\S]*?^```|`[^`\n]*`/gm, '');
  const links = [...prose.matchAll(/\]\((?!https?:|\/)([^)\s]+)\)/g)];
  return links
    .map(([, link = '']) => link)
    .filter((link) => {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? resolve(ROOT, file) : resolve(folder, path);
      if (!existsSync(target)) return true;
      return anchor !== undefined && !anchorsOf(readFileSync(target, 'utf8')).has(anchor);
    });
}

/** Anchors of the headings, as they are made from them on the web. */
function anchorsOf(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
