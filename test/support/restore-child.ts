/** A restore in a process of its own that stops for ever once everything is loaded: to be killed. */
import { systemClock } from '../../domain/clock.ts';
import { MIGRATION_LOCK } from '../../main/migrate.ts';
import { SCHEMA_STEPS } from '../../main/schema-steps.ts';
import { restoreBackup } from '../../store/backup/restore-backup.ts';

const [url = '', file = ''] = process.argv.slice(2);

await restoreBackup({
  url,
  file,
  replace: true,
  steps: SCHEMA_STEPS,
  lock: MIGRATION_LOCK,
  clock: systemClock,
  onProgress: ({ phase, done, total }) => {
    if (phase !== 'prove' || done < total) return;
    process.stdout.write('loaded\n');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
});
