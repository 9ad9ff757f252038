/** A lean HTTP caller for tests with hundreds of callers at once: one agent, connections kept open. */
import { Agent, request, type IncomingHttpHeaders } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The parsed JSON body; undefined when there is none. */
  readonly body: unknown;
}

export interface KeepAliveCaller {
  /** @throws Error when the connection breaks before the answer is whole */
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer>;
  close(): void;
}

/** @param url base URL of the API */
export function createKeepAliveCaller(url: string, maxSockets: number): KeepAliveCaller {
  const agent = new Agent({ keepAlive: true, maxSockets });
  return {
    call: (method, path, body, more = {}) =>
      new Promise((resolve, reject) => {
        const text = body === undefined ? undefined : JSON.stringify(body);
        const headers =
          text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
        const all = { ...headers, ...more };
        const sent = request(new URL(path, url), { method, agent, headers: all }, (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.on('error', reject);
          response.on('end', () => {
            const answer = Buffer.concat(parts).toString();
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: answer === '' ? undefined : (JSON.parse(answer) as unknown),
            });
          });
        });
        sent.on('error', reject);
        sent.end(text);
      }),
    close: () => agent.destroy(),
  };
}
