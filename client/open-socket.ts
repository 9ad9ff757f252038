/**
 * Opens a WebSocket: the platform's own, or that of `ws` where there is none (Node 20). The bundle
 * for browsers takes {@link ./open-browser-socket.ts} instead.
 */

/** The part of a WebSocket that is used. */
export interface Socket {
  send(text: string): void;
  close(code?: number): void;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  /** Comes once, after a failed attempt to connect, too. */
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
}

export type OpenSocket = (url: string, protocols: string[]) => Promise<Socket>;

/** @throws SyntaxError when the URL is none */
export const openSocket: OpenSocket = async (url, protocols) => {
  const own = (globalThis as { WebSocket?: new (url: string, protocols: string[]) => Socket })
    .WebSocket;
  if (own) return new own(url, protocols);
  const { WebSocket } = await import('ws');
  return new WebSocket(url, protocols) as unknown as Socket;
};
