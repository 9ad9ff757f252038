/**
 * The one error type, and every code it can carry. `docs/errors.md` is generated from this file.
 * Expected outcomes (conflict, unchanged, parked) are results, never errors.
 */

/** Code → [HTTP status, title, what it means and what to do]. The contract fixes the names. */
export const ERROR_CODES = {
  VALIDATION: [
    400,
    'The request is not valid',
    'A field is missing, unknown or has a wrong value. `errors[]` points to each.',
  ],
  INVALID_JSON: [400, 'The body is not JSON', 'Send valid JSON in UTF-8, without lone surrogates.'],
  INVALID_KEY: [
    400,
    'The key is not valid',
    'Keys have 1–512 characters, no control characters, and are not `.` or `..`.',
  ],
  INVALID_CURSOR: [
    400,
    'The cursor is not valid',
    'Use a cursor exactly as an earlier answer gave it.',
  ],
  TOO_DEEP: [400, 'The data is nested too deep', 'At most 200 containers may be nested.'],
  NUMBER_PRECISION: [
    400,
    'A number cannot be kept',
    'A number does not fit a double. Send it as a string.',
  ],
  CONTEXT_TOO_LARGE: [
    413,
    'The data is too large',
    'The compact JSON of `data` is over the limit (10 MiB by default).',
  ],
  PAYLOAD_TOO_LARGE: [413, 'The request body is too large', 'Send less at once.'],
  BATCH_TOO_LARGE: [
    413,
    'The batch is too large',
    'A batch may have a body of at most 32 MiB, and may read at most 32 MiB of stored data. Split it.',
  ],
  DIFF_TOO_LARGE: [
    413,
    'The versions are too large to be compared',
    'Together they may have at most 4 MiB of compact JSON. Read both, and compare them yourself.',
  ],
  UNSUPPORTED_MEDIA_TYPE: [415, 'The media type is not supported', 'Send `application/json`.'],
  METHOD_NOT_ALLOWED: [405, 'The method is not allowed here', 'See the `Allow` header.'],
  NOT_FOUND: [404, 'Nothing is here', 'The path names no resource.'],
  CONTEXT_NOT_FOUND: [
    404,
    'The context does not exist',
    'It was never stored, was deleted, or has expired.',
  ],
  VERSION_NOT_FOUND: [
    404,
    'The version does not exist',
    'It was never made, or retention removed it.',
  ],
  VERSION_CONFLICT: [
    409,
    'The context has another version',
    'Somebody wrote in between. Read `currentVersion`, merge, and write again.',
  ],
  IDEMPOTENCY_MISMATCH: [
    409,
    'The idempotency key was used for another request',
    'Use a new key for a new request.',
  ],
  IDEMPOTENCY_IN_PROGRESS: [
    409,
    'The first request with this key is still running',
    'Ask again in a moment.',
  ],
  CURSOR_EXPIRED: [
    410,
    'The cursor is older than what is kept',
    'Read everything anew, then go on from the head.',
  ],
  UNAUTHENTICATED: [401, 'No valid key', 'Send `Authorization: Bearer <api key>`.'],
  FORBIDDEN: [
    403,
    'The key does not allow this',
    'Ask for a key with the scope named in the detail.',
  ],
  KEY_NOT_FOUND: [404, 'The API key does not exist', 'See `syncline keys list`.'],
  TENANT_NOT_FOUND: [404, 'The tenant does not exist', 'See `syncline tenants list`.'],
  TENANT_NOT_EMPTY: [
    409,
    'The tenant holds data',
    'Remove it with `force` if its data may go; while that is under way, ask again.',
  ],
  REQUEST_TIMEOUT: [
    408,
    'The request did not arrive in time',
    'Headers must be there within 15 seconds, and a body must keep coming. Send it again.',
  ],
  ORIGIN_REFUSED: [
    403,
    'The origin of the request is refused',
    'Keys are off: use a loopback address, or turn keys on. The queue board is changed only by its own page.',
  ],
  RATE_LIMITED: [
    429,
    'Too many requests',
    'Wait for `Retry-After` seconds. Of a run: the remote is busy; the link rests as long as it asked.',
  ],
  TOO_MANY_CONNECTIONS: [
    503,
    'The server has as many WebSocket connections as it takes',
    'Connect again in a moment, or to another API process.',
  ],
  TOO_MANY_SUBSCRIPTIONS: [
    429,
    'No more subscriptions are taken',
    'End some, use a prefix instead of many keys, or connect to another API process.',
  ],
  ENCRYPTION_NOT_CONFIGURED: [
    400,
    'Encryption has no key',
    'Set CONTEXT_ENCRYPTION_KEY. After a change of it, keep the one before in `security.encryption.old_keys`.',
  ],
  DECRYPTION_FAILED: [
    500,
    'An encrypted body cannot be read',
    'Its bytes, its key or the context it belongs to were changed in the database. Nothing of it is shown. Restore it from a backup.',
  ],
  SEARCH_MODE_UNAVAILABLE: [
    400,
    'This server cannot search that way',
    'There are no vectors to search by meaning. Use `mode` `text` or `hybrid`.',
  ],
  CONNECTOR_NOT_ALLOWED: [
    403,
    'This server does not allow that connector configuration',
    'Add the command to SYNCLINE_STDIO_ALLOW, the folder to SYNCLINE_FILE_ROOTS, the host to SYNCLINE_REMOTE_HOSTS, or the variable to SYNCLINE_LINK_SECRETS.',
  ],
  CONNECTOR_UNREACHABLE: [
    502,
    'The remote cannot be reached',
    'The run is retried. See the detail for what the remote said.',
  ],
  LINK_TO_ITSELF: [
    400,
    'The link would feed itself',
    'Its far side is this very hub and tenant, and the two scopes overlap: what it writes would be in its own scope again. Name another hub, or scopes of which neither begins with the other.',
  ],
  LINK_NOT_FOUND: [404, 'The link does not exist', 'See `syncline link list`.'],
  LINK_PAUSED: [409, 'The link is paused', 'Resume it first.'],
  RUN_NOT_FOUND: [404, 'The run does not exist', 'See `syncline sync runs <link>`.'],
  PLAN_NOT_FOUND: [404, 'The plan does not exist', 'Make a new plan.'],
  PLAN_EXPIRED: [409, 'The plan has expired', 'Make a new plan.'],
  RUN_NOT_FINISHED: [
    409,
    'The run is still under way',
    'Wait until it has ended (`syncline sync show <run>`), then undo it.',
  ],
  PLAN_ALREADY_EXECUTED: [409, 'The plan was executed before', 'Make a new plan.'],
  CONFLICT_NOT_FOUND: [404, 'The conflict does not exist', 'See `syncline conflicts list`.'],
  CONFLICT_MOVED: [
    409,
    'The conflict has moved on',
    'A side changed since you looked. Look again and decide on what is there now.',
  ],
  UNAVAILABLE: [
    503,
    'A server we need is out',
    'Try again. `GET /api/context/health` says which one.',
  ],
  INTERNAL: [500, 'Something broke on our side', 'The log has the request id.'],
  ITEM_INVALID: [
    422,
    'The item does not have the shape its kind needs',
    'The item is quarantined; mend its data and it goes on by itself.',
  ],
  ITEM_TOO_COMPLEX: [
    422,
    'The item is too complex to be synced',
    'It has too many values, or working on it took too long. Split it; it goes on by itself when it changes.',
  ],
  ITEM_EXCLUDED: [
    422,
    'The link does not carry this item',
    'Its scope, direction or remote leave it out; the detail says which. Nothing is wrong with the item.',
  ],
  ITEM_ENCRYPTED: [
    422,
    'The item is encrypted, and links do not carry it',
    'Both sides stay as they are. It goes on by itself once an update says `encrypt: false`.',
  ],
  ITEM_NAME_TAKEN: [409, 'Two items claim one name', 'Rename one of them; both rest until then.'],
  REMOTE_MALFORMED: [
    422,
    'The remote holds something that cannot be read',
    'Mend the named file or line. Nothing was overwritten.',
  ],
  REMOTE_TOO_LARGE: [
    413,
    'A remote file is too large',
    'Split it, or raise the limit. Nothing was read from it.',
  ],
  REMOTE_NOT_UTF8: [
    422,
    'A remote file is not UTF-8 text',
    'Save it as UTF-8. Nothing was overwritten.',
  ],
  REGION_DAMAGED: [
    422,
    'The managed region of a file is damaged',
    'Put back the missing `<!-- syncline:begin -->` or `<!-- syncline:end -->`.',
  ],
  PATH_ESCAPES_ROOT: [
    403,
    'A path leads out of its root',
    'Remove the symbolic link, or link the folder it points to.',
  ],
  REMOTE_WRITE_RACED: [409, 'Another writer kept interfering', 'Retried with back-off by itself.'],
  SCAN_INCOMPLETE: [
    502,
    'The remote gave an incomplete listing',
    'Nothing was deleted: what a listing without an end does not show may still be there. Retried with back-off by itself; see that the remote can be read whole.',
  ],
  FENCED: [409, 'Another run took over this link', 'Nothing to do: the newer run does the work.'],
  BACKUP_INVALID: [
    422,
    'The file is not a backup of Syncline',
    'Name a file that `syncline backup` made. Nothing was changed.',
  ],
  BACKUP_DAMAGED: [
    422,
    'The backup is damaged',
    'It is cut off, or its checksums do not fit. Use another copy. Nothing was changed.',
  ],
  BACKUP_TOO_NEW: [
    409,
    'The backup was made by a newer Syncline',
    'Restore it with that version or a newer one. Nothing was changed.',
  ],
  STORE_NOT_EMPTY: [
    409,
    'The store holds data',
    'Restore into an empty database, or say `--replace` to lose what is there.',
  ],
  CONFIG_INVALID: [500, 'The configuration is not valid', 'Each fault is listed with its key.'],
  PORT_IN_USE: [500, 'The port is in use', 'Stop what uses it, or set another port.'],
  SERVER_NOT_STARTED: [
    500,
    'A server we need could not be started',
    'The message says what was tried and what to install.',
  ],
  ALREADY_RUNNING: [
    500,
    'Syncline runs already in this folder',
    'Use the running one, or stop it first.',
  ],
} as const satisfies Record<string, readonly [number, string, string]>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Whether a text is one of our codes. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

/** One bad field: a JSON pointer into the request (or config), and what is wrong with it. */
export interface FieldError {
  readonly pointer: string;
  readonly detail: string;
}

export interface AppErrorOptions {
  /** True when the same call may succeed later without anybody changing anything. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
  readonly errors?: readonly FieldError[];
  /** Extra members for the problem document, e.g. `currentVersion`. Never bodies or secrets. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** The error every room throws; each edge translates it once. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly errors: readonly FieldError[];
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.errors = options.errors ?? [];
    this.extra = options.extra ?? {};
  }

  /** HTTP status the contract gives this code. */
  get status(): number {
    return ERROR_CODES[this.code][0];
  }
}

/** Any thrown thing as an AppError; what is not one already becomes `INTERNAL`. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new AppError('INTERNAL', message, { cause: thrown });
}

/** Longest a remote is left alone at its word, ms; then it is asked again, and may repeat it. */
export const MAX_RETRY_AFTER_MS = 3_600_000;

/**
 * How long a remote asked to be left alone, ms (`extra.retryAfterMs`), but for
 * {@link MAX_RETRY_AFTER_MS} at most; null where it did not.
 */
export function retryAfterMsOf({ extra }: AppError): number | null {
  const { retryAfterMs } = extra;
  if (typeof retryAfterMs !== 'number' || !(retryAfterMs >= 0)) return null;
  return Math.min(retryAfterMs, MAX_RETRY_AFTER_MS);
}

/** A thrown thing's message, for logs and details. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
