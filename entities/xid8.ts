/** A column type of Postgres that TypeORM has not heard of. */
import type { ColumnType } from 'typeorm';

const NAME: string = 'xid8';

/** Transaction id that never wraps around. The data source must be told of it: see `main/migrate.ts`. */
export const XID8 = NAME as ColumnType;
