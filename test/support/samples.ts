/** Reads Prometheus' text format, for tests that look at single numbers. */

export interface Samples {
  readonly text: string;
  /** Names of all samples, `_bucket`, `_sum` and `_count` included. */
  readonly names: readonly string[];
  /** The sum of the samples that have at least these labels; undefined: there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
}

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Scrapes an address. @throws Error when it answers anything but 200 */
export async function samplesOf(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Samples> {
  const answer = await fetch(url, { headers });
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}`);
  return parseSamples(await answer.text());
}

/** Takes a scrape apart. @throws Error at a line that is neither a sample nor a comment */
export function parseSamples(text: string): Samples {
  const samples = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(parseLine);
  return {
    text,
    names: [...new Set(samples.map(({ name }) => name))],
    value(name, labels = {}) {
      const found = samples.filter(
        (sample) =>
          sample.name === name &&
          Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
      );
      return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
    },
  };
}

function parseLine(line: string): Sample {
  const [, name, labels = '', value] =
    /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([-+.\deEInfNa]+)$/.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`no sample: ${line}`);
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
  return {
    name,
    labels: Object.fromEntries(pairs.map(([, label, text]) => [label!, text!])),
    value: Number(value),
  };
}
