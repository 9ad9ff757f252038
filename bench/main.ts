/** `npm run bench -- <name> [options]`: runs one benchmark; without a name lists them. */
import { messageOf } from '../domain/errors.ts';
import { apiBench } from './api.ts';
import { cacheBench } from './cache.ts';
import { fileWrites } from './file-writes.ts';
import { manyLinks } from './many-links.ts';
import { searchLatency } from './search-latency.ts';
import { searchQuality } from './search-quality.ts';
import { syncLatency } from './sync-latency.ts';
import { syncPass } from './sync-pass.ts';
import { syncPeers } from './sync-peers.ts';
import { syncScale } from './sync-scale.ts';
import { syncThroughput } from './sync-throughput.ts';
import { webSocketLatency } from './websocket.ts';

/** One benchmark: what it measures, and how to run it with the rest of the command line. */
export interface Bench {
  readonly about: string;
  readonly usage: string;
  run(args: readonly string[]): Promise<void>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  api: apiBench,
  cache: cacheBench,
  'file-writes': fileWrites,
  'many-links': manyLinks,
  'search-latency': searchLatency,
  'search-quality': searchQuality,
  'sync-latency': syncLatency,
  'sync-pass': syncPass,
  'sync-peers': syncPeers,
  'sync-scale': syncScale,
  'sync-throughput': syncThroughput,
  websocket: webSocketLatency,
};

async function main([name, ...rest]: readonly string[]): Promise<number> {
  const bench = name !== undefined && Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
  if (!bench) {
    const lines = Object.entries(BENCHES).map(
      ([each, { about, usage }]) => `  ${each}  ${usage}\n      ${about}`,
    );
    const wrong = name === undefined ? '' : `There is no benchmark "${name}".\n\n`;
    process.stdout.write(
      `${wrong}Usage: npm run bench -- <name> [options]\n\n${lines.join('\n')}\n`,
    );
    return name === undefined ? 0 : 2;
  }
  try {
    await bench.run(rest);
    return 0;
  } catch (error) {
    process.stderr.write(`${name}: ${messageOf(error)}\n`);
    return 1;
  }
}

process.exit(await main(process.argv.slice(2)));
