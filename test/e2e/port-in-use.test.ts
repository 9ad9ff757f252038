/** `npm start` on a port that somebody has: said in the first moment, before any server is started. */
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createEmbedded } from '../support/embedded-process.ts';

it('a start on a port that is taken says so and starts nothing', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  const syncline = await createEmbedded({ CONTEXT_API_PORT: String(port) });
  try {
    const { ended, said } = await syncline.startToEnd();
    expect(ended).toBe('exit code 1');
    expect(said).toContain(`PORT_IN_USE: Port ${port} on 127.0.0.1 is in use.`);
    expect(existsSync(join(syncline.folder, '.syncline', 'postgres'))).toBe(false);
  } finally {
    await syncline.close();
    other.close();
  }
}, 120_000);
