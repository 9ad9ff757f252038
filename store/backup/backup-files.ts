/** The files of scheduled backups: their names, which of them are too old, how old the newest is. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Only what is called so is ours, and only that is ever deleted. */
const NAME = /^syncline-(\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}-\d{3}Z)\.backup$/;
const DRAFT = /^syncline-\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}-\d{3}Z\.backup\.[0-9a-f]{8}\.part$/;
/** A draft this old belongs to nobody any more: its process was killed. */
const DEAD_DRAFT_MS = 86_400_000;

export interface BackupFile {
  readonly name: string;
  /** When it was made, ms. */
  readonly at: number;
}

/** Name of a backup made now; names sort by time. */
export function backupName(nowMs: number): string {
  return `syncline-${new Date(nowMs).toISOString().replaceAll(/[:.]/g, '-')}.backup`;
}

/** Finished backups of ours in a folder, oldest first; none when there is no such folder. */
export async function listBackups(directory: string): Promise<readonly BackupFile[]> {
  const names = await namesIn(directory);
  return names
    .flatMap((name) => {
      const stamp = NAME.exec(name)?.[1];
      return stamp === undefined ? [] : [{ name, at: timeOf(stamp) }];
    })
    .sort((a, b) => a.at - b.at);
}

/** Deletes finished backups of ours that are older than `keepMs`, but never the newest; their names. */
export async function deleteOldBackups(
  directory: string,
  { keepMs, nowMs }: { readonly keepMs: number; readonly nowMs: number },
): Promise<readonly string[]> {
  const backups = (await listBackups(directory)).slice(0, -1);
  const old = backups.filter(({ at }) => at < nowMs - keepMs).map(({ name }) => name);
  for (const name of old) await rm(join(directory, name), { force: true });
  await deleteDeadDrafts(directory, nowMs);
  return old;
}

async function deleteDeadDrafts(directory: string, nowMs: number): Promise<void> {
  for (const name of (await namesIn(directory)).filter((each) => DRAFT.test(each))) {
    const path = join(directory, name);
    const { mtimeMs } = await stat(path);
    if (mtimeMs < nowMs - DEAD_DRAFT_MS) await rm(path, { force: true });
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

function timeOf(stamp: string): number {
  return Date.parse(stamp.replace(/T(\d{2})-(\d{2})-(\d{2})-(\d{3})Z/, 'T$1:$2:$3.$4Z'));
}
