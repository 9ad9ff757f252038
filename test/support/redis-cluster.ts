/** A real Redis Cluster for tests: three masters on this machine, without replicas. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startChild, type Child } from '../../dev/child.ts';
import { findCommand } from '../../dev/find-command.ts';
import type { Guardian } from '../../dev/guardian.ts';
import { choosePort, LOOPBACK } from '../../dev/ports.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import { callRedis, redisAnswers } from './redis-call.ts';

export interface TestRedisCluster {
  /** `redis-cluster://…` naming two of the three nodes. */
  readonly url: string;
  readonly ports: readonly number[];
  stop(): Promise<void>;
}

const SLOTS = 16_384;
const NODES = 3;

/** Null: this machine has no Redis. */
export async function startRedisCluster(
  home: string,
  guardian: Guardian,
): Promise<TestRedisCluster | null> {
  const command = findCommand('redis-server', 'valkey-server');
  if (command === null) return null;
  const ports: number[] = [];
  const children: Child[] = [];
  for (let nth = 0; nth < NODES; nth += 1) {
    const [port, bus] = [await choosePort(0), await choosePort(0)];
    const folder = join(home, `node-${nth}`);
    mkdirSync(folder, { recursive: true });
    const settings = {
      port: String(port),
      bind: LOOPBACK,
      dir: folder,
      'cluster-enabled': 'yes',
      'cluster-port': String(bus),
      'cluster-node-timeout': '2000',
      appendonly: 'no',
    };
    const args = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, value]);
    children.push(
      startChild({
        command,
        args: [...args, '--save', ''],
        logFile: join(folder, 'redis.log'),
        guardian,
      }),
    );
    ports.push(port);
    await waitUntil(() => redisAnswers(port), { timeoutMs: 10_000, everyMs: 20 });
  }
  await shareSlots(ports);
  return {
    url: `redis-cluster://${ports
      .slice(0, 2)
      .map((port) => `${LOOPBACK}:${port}`)
      .join(',')}`,
    ports,
    stop: async () => {
      await Promise.all(children.map((child) => child.stop(5_000)));
    },
  };
}

/** Shares the slots out, makes the nodes known to each other, and waits until they agree. */
async function shareSlots(ports: readonly number[]): Promise<void> {
  for (const [nth, port] of ports.entries()) {
    const from = Math.floor((nth * SLOTS) / NODES);
    const to = Math.floor(((nth + 1) * SLOTS) / NODES) - 1;
    await callRedis(port, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
  }
  const [first, ...others] = ports;
  for (const port of others) {
    const own = await callRedis(port, 'CLUSTER', 'NODES');
    const bus = /@(\d+)/.exec(String(own))?.[1];
    await callRedis(first!, 'CLUSTER', 'MEET', LOOPBACK, String(port), bus!);
  }
  const agree = async (): Promise<true | null> => {
    const states = await Promise.all(ports.map((port) => callRedis(port, 'CLUSTER', 'INFO')));
    return states.every(
      (state) =>
        String(state).includes('cluster_state:ok') &&
        String(state).includes(`cluster_known_nodes:${NODES}`),
    )
      ? true
      : null;
  };
  await waitUntil(agree, { timeoutMs: 30_000, everyMs: 50 });
}
