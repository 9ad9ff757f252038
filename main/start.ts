/**
 * `npm start`: the whole product on a bare machine. Brings up the servers that are missing,
 * migrates, starts every role, links a sample workspace, says what it did, and keeps running.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { requireFreePort } from '../api/server.ts';
import { readOwner } from '../dev/lock.ts';
import { lookAround } from '../dev/look-around.ts';
import { startStack, type Stack } from '../dev/stack.ts';
import { messageOf, toAppError } from '../domain/errors.ts';
import type { Link } from '../domain/link.ts';
import { QUEUES_PATH, startAllInOne } from './all-in-one.ts';
import { loadConfig, type Config } from './config.ts';
import { loadEnvFile } from './env-file.ts';
import { linkDemo, prepareDemo, DEMO_CALLER, type DemoWorkspace } from './demo.ts';
import { differences, readSide, sizeOf, type Side } from './demo-sides.ts';
import { createLifecycle, onSignal, type Lifecycle } from './lifecycle.ts';
import { migrate } from './migrate.ts';
import { Secret } from './secret.ts';
import { createServices, type Services } from './services.ts';
import { createTerminal, type Terminal } from './terminal.ts';

const USAGE = `Usage: npm start [-- options]

Starts Syncline with everything it needs and keeps running until Ctrl-C.

  --no-demo        serve without the sample workspace
  --check          do it all once, verify that both sides of the sample agree, exit 0 or 1
  --config <file>  configuration file (default context.yaml)
  --help           this text

Servers already there are used: DATABASE_URL, REDIS_URL, TEMPORAL_ADDRESS (see docs/configuration.md).
`;

/** The sample has to agree this soon after the links were made. */
const AGREE_WITHIN_MS = 90_000;
const LOOK_EVERY_MS = 150;

const QUEUES_HINT = '  (any user name; the password is a key with the scope root)';

interface Options {
  readonly isDemo: boolean;
  readonly isCheck: boolean;
  readonly file: string | undefined;
}

async function main(args: readonly string[]): Promise<void> {
  const options = optionsOf(args);
  if (!options) return;
  const terminal = createTerminal();
  const abort = new AbortController();
  const began = performance.now();
  const lifecycle = createLifecycle(problemLog(terminal));
  const stop = async (code: number): Promise<void> => {
    await lifecycle.stop();
    process.exit(code);
  };
  onSignal(() => {
    terminal.heading('Stopping');
    abort.abort();
    void stop(0);
  });
  try {
    const code = await run(options, { terminal, lifecycle, began, signal: abort.signal });
    if (code !== null) await stop(code);
  } catch (error) {
    if (abort.signal.aborted) return;
    const { code, message } = toAppError(error);
    terminal.problem(`${code}: ${message}`);
    if (code === 'INTERNAL' && error instanceof Error) terminal.note(error.stack ?? '');
    await stop(1);
  }
}

function optionsOf(args: readonly string[]): Options | null {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        'no-demo': { type: 'boolean', default: false },
        check: { type: 'boolean', default: false },
        config: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(USAGE);
      return null;
    }
    if (values.check && values['no-demo'])
      throw new Error('--check needs the sample workspace; leave --no-demo out');
    return { isDemo: !values['no-demo'], isCheck: values.check, file: values.config };
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${USAGE}`);
    process.exitCode = 2;
    return null;
  }
}

interface Surroundings {
  readonly terminal: Terminal;
  readonly lifecycle: Lifecycle;
  readonly began: number;
  readonly signal: AbortSignal;
}

/** Answers an exit code, or null to keep running. */
async function run(options: Options, around: Surroundings): Promise<number | null> {
  const { terminal, lifecycle } = around;
  loadEnvFile();
  const given = loadConfig(process.env, options.file);
  // Servers take seconds to come up. Whoever has our folder has our port too, and says so better.
  if (readOwner(given.home) === null) await requireFreePort(given.api.host, given.api.port);
  const demo = options.isDemo ? prepareDemo(given.home) : null;
  const { stack, config } = await bringUp(withDemo(given, demo), around);
  await timed(terminal, 'Schema is up to date', () => migrate(config.database.url!.reveal()));
  const log = fileLog(config);
  await tellOfSilentServers(config, terminal);
  const services = await createServices(config, log);
  lifecycle.add({ name: 'connections', stop: () => services.close() });
  const role = await timed(terminal, 'API, sync worker and job worker are up', () =>
    startAllInOne(services, lifecycle, (pass, outcome) => terminal.run(pass, outcome)),
  );
  stack.setUrl(role.url);
  void stack.broken.then(async (reason) => {
    terminal.problem(`${reason}; Syncline stops. Start it again: nothing is lost.`);
    await lifecycle.stop();
    process.exit(1);
  });
  const agrees = demo ? await showDemo(services, demo, terminal) : true;
  if (options.isCheck) return agrees ? 0 : 1;
  sayWhereThingsAre({ terminal, config, url: role.url, demo });
  return null;
}

function withDemo(config: Config, demo: DemoWorkspace | null): Config {
  if (!demo) return config;
  return {
    ...config,
    connectors: {
      ...config.connectors,
      fileRoots: [...config.connectors.fileRoots, demo.folder],
      stdioAllow: [...config.connectors.stdioAllow, demo.serverCommand],
    },
  };
}

/** Starts the servers nobody named and puts their addresses into the configuration. */
async function bringUp(
  config: Config,
  around: Surroundings,
): Promise<{ stack: Stack; config: Config }> {
  const { terminal, lifecycle, signal } = around;
  terminal.heading('Starting Syncline');
  mkdirSync(config.home, { recursive: true });
  const stack = await startStack({
    home: config.home,
    want: {
      postgres: config.database.url === null,
      redis: config.redis.url === null,
      temporal: config.temporal.address === null,
    },
    report: ({ server, state, message, elapsedMs }) => {
      if (state === 'ready') terminal.done(`${server}: ${message}`, elapsedMs);
      else if (state === 'failed') terminal.problem(`${server}: ${message}`);
      else if (state === 'installing' || state === 'waiting')
        terminal.note(`${server}: ${message}`);
    },
    signal,
    mayInstall: !config.noInstall,
  });
  lifecycle.add({ name: 'servers', stop: () => stack.stop(), deadlineMs: 70_000 });
  const { postgres, redis, temporal } = stack.servers;
  return {
    stack,
    config: {
      ...config,
      database: postgres
        ? { ...config.database, url: new Secret(postgres.address) }
        : config.database,
      redis: redis ? { ...config.redis, url: new Secret(redis.address) } : config.redis,
      temporal: temporal
        ? { ...config.temporal, address: temporal.address, uiUrl: stack.temporalUiUrl }
        : config.temporal,
    },
  };
}

/** What is out is waited for, for as long as it takes; said, that does not look stuck. */
async function tellOfSilentServers(config: Config, terminal: Terminal): Promise<void> {
  const servers = {
    postgres: null,
    redis: config.redis.url?.reveal() ?? null,
    temporal: config.temporal.address,
  };
  const { servers: seen } = await lookAround({ home: config.home, apiUrl: '', servers });
  for (const { server, host, port, isReachable } of seen) {
    if (isReachable || server === 'postgres') continue;
    terminal.problem(`${server}: nothing answers at ${host}:${port}; what needs it waits`);
  }
}

/** Links the sample (the first time), waits until both sides agree, and shows them. */
async function showDemo(
  services: Services,
  demo: DemoWorkspace,
  terminal: Terminal,
): Promise<boolean> {
  const began = performance.now();
  const links = await linkDemo(services.store, demo);
  const before = await bothSides(services, links);
  terminal.heading(demo.isNew ? 'First sync of the sample workspace' : 'Sample workspace');
  const after = await untilAgreed(services, links);
  const rest = differences(after.factory, after.memory);
  showSides(terminal, before, after);
  if (rest.length === 0) {
    terminal.done('Both sides agree', performance.now() - began);
    return true;
  }
  const waiting = await explain(services, links);
  terminal.problem(`The sides do not agree yet: ${rest.join('; ')}. ${waiting}`);
  return false;
}

interface BothSides {
  readonly factory: Side;
  readonly memory: Side;
}

async function bothSides(services: Services, links: readonly Link[]): Promise<BothSides> {
  const [factory, memory] = await Promise.all(links.map((link) => readSide(services, link)));
  return { factory: factory!, memory: memory! };
}

async function untilAgreed(services: Services, links: readonly Link[]): Promise<BothSides> {
  const deadline = performance.now() + AGREE_WITHIN_MS;
  for (;;) {
    const sides = await bothSides(services, links);
    const isOver = performance.now() > deadline || (await isHeldUp(services, links));
    if (isOver || differences(sides.factory, sides.memory).length === 0) return sides;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** Whether a link waits for a person, so that waiting any longer is pointless. */
async function isHeldUp({ store }: Services, links: readonly Link[]): Promise<boolean> {
  const now = await Promise.all(links.map((link) => store.links.status(DEMO_CALLER, link.id)));
  return now.some(
    (status) => status.state === 'parked' || status.state === 'paused' || status.conflicts > 0,
  );
}

async function explain({ store }: Services, links: readonly Link[]): Promise<string> {
  const told = await Promise.all(
    links.map(async (link) => {
      const { state, conflicts, quarantined, guard } = await store.links.status(
        DEMO_CALLER,
        link.id,
      );
      return `${link.name}: ${guard?.reason ?? `${state}, ${conflicts} conflicts, ${quarantined} quarantined`}`;
    }),
  );
  return told.join(' · ');
}

function showSides(terminal: Terminal, before: BothSides, after: BothSides): void {
  const names = [...new Set([...after.factory.keys(), ...after.memory.keys()])].sort();
  terminal.table(
    ['item', 'memories.md before', 'MCP before', 'memories.md now', 'MCP now'],
    names.map((name) => [
      name,
      ...[before.factory, before.memory, after.factory, after.memory].map((side) =>
        sizeOf(side.get(name)),
      ),
    ]),
  );
}

function sayWhereThingsAre(where: {
  terminal: Terminal;
  config: Config;
  url: string;
  demo: DemoWorkspace | null;
}): void {
  const { terminal, config, url, demo } = where;
  terminal.heading('Running');
  const queuesHint = config.auth.mode === 'keys' ? QUEUES_HINT : '';
  const lines = [
    ['API', `${url}/api/context/health`],
    ['Docs', `${url}/api/context/docs`],
    ['Temporal UI', config.temporal.uiUrl ?? `(yours, at ${config.temporal.address})`],
    ...(config.features.queueBoard ? [['Queues', `${url}${QUEUES_PATH}${queuesHint}`]] : []),
    ['Log', join(config.home, 'syncline.log')],
  ];
  for (const [name, value] of lines) terminal.note(`${name!.padEnd(12)} ${value}`);
  if (demo) {
    terminal.heading('Try this in another terminal, and watch the line that appears here');
    terminal.note(`echo '- Prefers tabs over spaces' >> ${demo.memoriesFile}`);
    terminal.note(`then look into ${demo.memoryFile}`);
  }
  terminal.heading('Runs (Ctrl-C stops everything)');
}

/** JSON lines go to a file: the terminal is for people. */
function fileLog(config: Config) {
  return pino(
    { level: config.log.level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: join(config.home, 'syncline.log'), sync: false, mkdir: true }),
  );
}

function problemLog(terminal: Terminal) {
  const tell = (fields: unknown, text?: string): void => {
    const { part, error } = fields as { part?: string; error?: string };
    terminal.problem([part, text, error].filter(Boolean).join(': '));
  };
  const stopped = (fields: unknown, text?: string): void => {
    const { part } = fields as { part?: string };
    terminal.note([part, text].filter(Boolean).join(' '));
  };
  return { warn: tell, debug: stopped };
}

async function timed<T>(terminal: Terminal, what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work();
  terminal.done(what, performance.now() - began);
  return result;
}

await main(process.argv.slice(2));
