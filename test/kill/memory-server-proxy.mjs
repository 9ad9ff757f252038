/**
 * Stands between Syncline and the real memory server, over stdio, and can kill Syncline (its own
 * parent) or the server at one mutating call: before the server hears of it, or after its answer.
 * Usage: node memory-server-proxy.mjs <server program> <control file>. While the control file is
 * there it says at which call from then on: {"id","nth","when","victim"?: "server"}; another id counts
 * anew.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [program, controlFile] = process.argv.slice(2);
const READING = new Set(['read_graph', 'search_nodes', 'open_nodes']);
const server = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'ignore'] });
let armed = { id: null, calls: 0 };
let last = null;

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { id, method, params } = JSON.parse(line);
    if (method === 'tools/call' && !READING.has(params.name)) {
      appendFileSync(`${controlFile}.calls`, '.');
      const point = nextPoint();
      if (point?.when === 'before') kill(point);
      if (point) last = { id, point };
    }
    server.stdin.write(`${line}\n`);
  })
  .on('close', () => server.stdin.end());
createInterface({ input: server.stdout }).on('line', (line) => {
  if (last !== null && JSON.parse(line).id === last.id) kill(last.point);
  process.stdout.write(`${line}\n`);
});
server.on('exit', (code) => process.exit(code ?? 0));

/** The point, if this very call is it. */
function nextPoint() {
  if (!existsSync(controlFile)) return null;
  const point = JSON.parse(readFileSync(controlFile, 'utf8'));
  if (armed.id !== point.id) armed = { id: point.id, calls: 0 };
  armed.calls += 1;
  return armed.calls === point.nth ? point : null;
}

function kill({ victim }) {
  if (victim !== 'server') process.kill(process.ppid, 'SIGKILL');
  server.kill('SIGKILL');
  process.exit(1);
}
