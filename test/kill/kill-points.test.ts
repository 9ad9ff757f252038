/**
 * Killed at every durable step (P10): the real process, on real Postgres and real Temporal, with
 * the real memory server and real files, ended by SIGKILL after each commit of a run, before each
 * one that settles what a remote was told, and around each call that changes the memory server.
 * Then twice: a second kill at a step of the run that takes up the first.
 * `SYNCLINE_KILLS=all` does every pair, `SYNCLINE_KILLS=2/4` the second of four shares of them (eight
 * minutes each on two cores); without it, every fifth first step has one second step.
 */
import { expect, it } from 'vitest';
import {
  openKillLane,
  type Connector,
  type KilledRun,
  type KillLane,
  type KillStep,
} from './kill-lane.ts';

const CONNECTORS: readonly Connector[] = ['mcp-memory', 'factory-files'];
const SHARE = shareOf(process.env['SYNCLINE_KILLS']);
const LANES = 3;

function stepsOf({ commits, calls }: KilledRun): KillStep[] {
  const after = commits.map((_, at): KillStep => ({ at: 'commit', nth: at + 1, when: 'after' }));
  const before = commits.flatMap((commit, at): KillStep[] =>
    commit === 'settle' ? [{ at: 'commit', nth: at + 1, when: 'before' }] : [],
  );
  const around = Array.from({ length: calls }, (_, at): KillStep[] => [
    { at: 'call', nth: at + 1, when: 'before' },
    { at: 'call', nth: at + 1, when: 'after' },
  ]);
  return [...after, ...before, ...around.flat()];
}

/** Null: a few. @throws Error for what is no share */
function shareOf(text = ''): { readonly nth: number; readonly of: number } | null {
  if (text === '') return null;
  const [nth, of] = (text === 'all' ? '1/1' : text).split('/').map(Number);
  if (!nth || !of || !Number.isInteger(nth) || !Number.isInteger(of) || nth > of)
    throw new Error(`SYNCLINE_KILLS is all, or a share like 2/4: ${text}`);
  return { nth, of };
}

/** A kill that falls into the run that takes up another kill. */
function pairsOf(steps: readonly KillStep[]): (readonly KillStep[])[] {
  if (SHARE) {
    const all = steps.flatMap((first) => steps.map((second) => [first, second]));
    return all.filter((_, at) => at % SHARE.of === SHARE.nth - 1);
  }
  return steps
    .filter((_, at) => at % 5 === 0)
    .map((first, at) => [first, steps[(at * 7 + 3) % steps.length]!]);
}

for (const connector of CONNECTORS) {
  it(`comes to the same end with ${connector}, killed at any durable step, once and twice`, async () => {
    const lanes = await Promise.all(Array.from({ length: LANES }, openKillLane));
    try {
      const golden = await lanes[0]!.run(connector, []);
      const steps = stepsOf(golden);
      expect(steps.length).toBeGreaterThan(6);
      const cases = [...steps.map((step) => [step]), ...pairsOf(steps)];
      const reached = await inLanes(lanes, cases, async (lane, kills) => {
        const told = kills.map(({ at, nth, when }) => `${when} ${at} ${nth}`).join(', then ');
        const run = await lane.run(connector, kills).catch((thrown: unknown) => {
          throw new Error(`killed ${told}`, { cause: thrown });
        });
        expect({ told, versions: run.versions }).toEqual({ told, versions: golden.versions });
        return run.reached;
      });
      // Every single kill happens; a second one may find the run already over.
      expect(reached.slice(0, steps.length).every((count) => count === 1)).toBe(true);
      process.stdout.write(
        `${connector}: ${golden.commits.length} commits, ${golden.calls} calls, ${cases.length} runs, ` +
          `${reached.reduce((sum, count) => sum + count, 0)} kills\n`,
      );
    } finally {
      await Promise.all(lanes.map((lane) => lane.close()));
    }
  }, 1_800_000);
}

/** Each case on the next lane that is free; answers in the order of the cases. */
async function inLanes<Case, Answer>(
  lanes: readonly KillLane[],
  cases: readonly Case[],
  run: (lane: KillLane, one: Case) => Promise<Answer>,
): Promise<Answer[]> {
  const answers = new Array<Answer>(cases.length);
  const waiting = [...cases.entries()];
  await Promise.all(
    lanes.map(async (lane) => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        answers[next[0]] = await run(lane, next[1]);
      }
    }),
  );
  return answers;
}
