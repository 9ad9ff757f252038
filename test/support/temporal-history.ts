/** Workflow histories as tests look into them. */
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

export type History = Parameters<typeof historyToJSON>[0];

/** A history as the JSON that `Worker.runReplayHistory` takes, without the paths in stack traces. */
export function historyJson(history: History): string {
  const plain: unknown = JSON.parse(historyToJSON(history), (name, value: unknown) =>
    name === 'stackTrace' ? '' : value,
  );
  return `${JSON.stringify(plain, null, 1)}\n`;
}

/** Everything a history says, payloads decoded: what somebody with access to Temporal could read. */
export function historyText(history: History): string {
  const texts: string[] = [];
  collect(JSON.parse(historyToJSON(history)), texts);
  return texts.join('\n');
}

function collect(value: unknown, into: string[]): void {
  if (typeof value === 'string') {
    // Payloads are base64; other texts decode to nonsense, which harms nobody.
    into.push(value, Buffer.from(value, 'base64').toString('utf8'));
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      into.push(name);
      collect(member, into);
    }
  }
}
