/** What one process and one connection may take up. */

export interface SocketLimits {
  /** Connections of the process. */
  readonly maxConnections: number;
  /** Subscriptions of the process. */
  readonly maxSubscriptions: number;
  readonly maxSubscriptionsPerConnection: number;
  /** Bytes on their way to one client; beyond it, the client has fallen behind. */
  readonly maxBufferedBytes: number;
  /** A client that has not answered a ping for so long is gone, ms. */
  readonly heartbeatMs: number;
}

export const DEFAULT_SOCKET_LIMITS: SocketLimits = {
  maxConnections: 5_000,
  maxSubscriptions: 50_000,
  maxSubscriptionsPerConnection: 10_000,
  maxBufferedBytes: 1024 * 1024,
  heartbeatMs: 30_000,
};

/** A message beyond this is not even read to its end: the connection closes with 1009. */
export const MAX_FRAME_BYTES = 1024 * 1024;
/** So many bad messages within {@link STRIKE_WINDOW_MS} close a connection with 1008. */
export const MAX_STRIKES = 32;
export const STRIKE_WINDOW_MS = 60_000;
