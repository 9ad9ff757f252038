/** `.env` of the working folder: settings for the environment, which wins where it has them itself. */
import { AppError, messageOf } from '../domain/errors.ts';

/** Reads it, when there is one; for programs, at their very start. @throws AppError CONFIG_INVALID */
export function loadEnvFile(file = '.env'): void {
  try {
    process.loadEnvFile(file);
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isMissing) return;
    throw new AppError('CONFIG_INVALID', `${file} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
