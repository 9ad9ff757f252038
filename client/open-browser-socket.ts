/** Opens a WebSocket in a browser; stands in for {@link ./open-socket.ts} in the browser's bundle. */
import type { OpenSocket, Socket } from './open-socket.ts';

/** @throws SyntaxError when the URL is none */
export const openSocket: OpenSocket = async (url, protocols) => {
  const { WebSocket } = globalThis as unknown as {
    WebSocket: new (url: string, protocols: string[]) => Socket;
  };
  return new WebSocket(url, protocols);
};
