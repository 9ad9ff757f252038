/** Reads every setting from the environment, `context.yaml` and the defaults; collects every fault. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { AppError, messageOf, type FieldError } from '../domain/errors.ts';
import { fieldErrorsOf } from '../domain/field-errors.ts';
import { nearest } from './nearest.ts';
import { CONFIG_FILE, SETTINGS, type Setting } from './settings.ts';

/** Setting path → value. */
export type Values = Readonly<Record<string, unknown>>;
export type SettingSource = 'default' | 'file' | 'environment';

export interface SettingsRead {
  readonly values: Values;
  readonly sources: Readonly<Record<string, SettingSource>>;
  readonly faults: readonly FieldError[];
}

const PATHS: readonly string[] = SETTINGS.map((setting) => setting.path);

/**
 * Reads and checks them one by one; a setting with a fault has its default.
 * @param file path of the YAML file; when it is the default one it may be missing
 * @throws AppError CONFIG_INVALID when the file cannot be read
 */
export function readSettings(env: NodeJS.ProcessEnv, file: string): SettingsRead {
  const faults: FieldError[] = [];
  const fromFile = flatten(readFile(file, file === CONFIG_FILE), faults);
  const read = SETTINGS.map((setting: Setting) => {
    const { value, source } = readOne(setting, { env, fromFile, faults });
    return [setting.path, value, source] as const;
  });
  return {
    values: Object.fromEntries(read.map(([path, value]) => [path, value])),
    sources: Object.fromEntries(read.map(([path, , source]) => [path, source])),
    faults,
  };
}

function readFile(file: string, mayBeMissing: boolean): unknown {
  try {
    return parse(readFileSync(file, 'utf8')) ?? {};
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isMissing && mayBeMissing) return {};
    throw new AppError('CONFIG_INVALID', `${file} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Nested keys as dotted paths. A key that is no setting is a fault, with the nearest one named. */
function flatten(tree: unknown, faults: FieldError[], path = ''): Values {
  if (path !== '' && PATHS.includes(path)) return { [path]: tree };
  const isBranch = path === '' || PATHS.some((name) => name.startsWith(`${path}.`));
  // `retention:` with everything below it commented out names nothing.
  if (isBranch && tree === null) return {};
  if (!isBranch || typeof tree !== 'object' || tree === null || Array.isArray(tree)) {
    faults.push({
      pointer: path || 'the file',
      detail: isBranch ? 'must hold keys below it' : `is not a setting${hint(tree, path)}`,
    });
    return {};
  }
  const parts = Object.entries(tree).map(([name, below]) =>
    flatten(below, faults, path ? `${path}.${name}` : name),
  );
  return Object.assign({}, ...parts) as Values;
}

/** A branch of another name is told by the settings that it may have meant below it. */
function hint(tree: unknown, path: string): string {
  const isTree = typeof tree === 'object' && tree !== null && !Array.isArray(tree);
  const below = isTree ? Object.keys(tree)[0] : undefined;
  const meant = nearest(below === undefined ? path : `${path}.${below}`, PATHS);
  return meant === null ? '' : `; did you mean ${meant}?`;
}

function readOne(
  setting: Setting,
  given: { env: NodeJS.ProcessEnv; fromFile: Values; faults: FieldError[] },
): { value: unknown; source: SettingSource } {
  const fromEnv = setting.env ? given.env[setting.env] : undefined;
  const isFromEnv = fromEnv !== undefined && fromEnv !== '';
  const value = isFromEnv ? fromEnv : given.fromFile[setting.path];
  if (value === undefined) return { value: setting.fallback, source: 'default' };
  const source = isFromEnv ? 'environment' : 'file';
  const parsed = setting.schema.safeParse(value);
  if (parsed.success) return { value: parsed.data, source };
  const shown = setting.isSecret ? '' : ` (it is ${JSON.stringify(value)})`;
  const details = fieldErrorsOf(parsed.error.issues, value).map(({ pointer, detail }) =>
    `${pointer} ${detail}`.trim(),
  );
  given.faults.push({
    pointer: isFromEnv ? `${setting.env} (${setting.path})` : setting.path,
    detail: `${details.join('; ')}${shown}`,
  });
  return { value: setting.fallback, source };
}
