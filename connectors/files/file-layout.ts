/** Which files of which folders belong to a link: what differs between one connector and the next. */
import type { Place } from './places.ts';

export interface FileLayout {
  /** The project first. */
  readonly places: readonly Place[];
  /** Whether a path (relative to the place, with `/`) is one of the link's documents. */
  isDocument(place: Place, path: string): boolean;
  /**
   * Paths of all documents of a place, sorted.
   *
   * @throws AppError CONNECTOR_UNREACHABLE, PATH_ESCAPES_ROOT, REMOTE_TOO_LARGE
   */
  listDocuments(place: Place): Promise<readonly string[]>;
  /** Whether a change of this file is worth a look: a document or a memory file. */
  isFile(place: Place, path: string): boolean;
  /** Whether this may be a folder with files of the link in it, now or later. */
  isFolder(place: Place, path: string): boolean;
}
