/** Values given on the command line: JSON text, `@file` or `-` for standard input. */
import { readFile } from 'node:fs/promises';
import { InvalidArgumentError } from 'commander';
import { parseAmount, SECONDS } from '../domain/parse-amount.ts';
import { JsonText, type JsonObject } from '../client/index.ts';
import type { CliIo } from './cli-context.ts';
import { messageOf, UsageError } from './exit-code.ts';

/**
 * JSON that is sent exactly as written. Without a value, standard input is read.
 *
 * @throws UsageError when it is not JSON, cannot be read, or nothing was given on a terminal
 */
export async function readJsonValue(value: string | undefined, io: CliIo): Promise<JsonText> {
  const text = await readText(value, io);
  try {
    return new JsonText(text);
  } catch (error) {
    const hint =
      value !== undefined && !/^[@-]/.test(value)
        ? ` For a text, write '${JSON.stringify(value)}'.`
        : '';
    throw new UsageError(`the value is not JSON (${messageOf(error)}).${hint}`);
  }
}

async function readText(value: string | undefined, io: CliIo): Promise<string> {
  if (value === undefined && io.isStdinTerminal) {
    throw new UsageError('no value given: pass JSON, @file, or - for standard input');
  }
  if (value === undefined || value === '-') return io.readStdin();
  if (!value.startsWith('@')) return value;
  try {
    return await readFile(value.slice(1), 'utf8');
  } catch (error) {
    throw new UsageError(`cannot read ${value.slice(1)}: ${messageOf(error)}`);
  }
}

/** Parser of an option whose value is a JSON object. */
export function jsonObjectOption(text: string): JsonObject {
  const value = tryParse(text);
  if (!isJsonObject(value)) throw new InvalidArgumentError('must be a JSON object.');
  return value;
}

/** Parser of an option whose value is a whole number of at least `min`. */
export function integerOption(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min) {
      throw new InvalidArgumentError(`must be a whole number of at least ${min}.`);
    }
    return value;
  };
}

/** Parser of an option whose value is seconds, or a time with a unit as in the configuration. */
export function secondsOption(min: number): (text: string) => number {
  return (text) => {
    const seconds = parseAmount(text, SECONDS);
    if (seconds === null || !Number.isSafeInteger(seconds) || seconds < min) {
      throw new InvalidArgumentError(
        `must be whole seconds, or a time like "90s", "6h", "30d"; at least ${min} s.`,
      );
    }
    return seconds;
  };
}

/** Collects a repeated option. */
export function collect(value: string, known: readonly string[] | undefined): readonly string[] {
  return [...(known ?? []), value];
}

/** Collects `key=value`; a value that is JSON counts as such, anything else as text. */
export function collectSetting(text: string, known: JsonObject | undefined): JsonObject {
  const cut = text.indexOf('=');
  if (cut < 1) throw new InvalidArgumentError('must be key=value.');
  const raw = text.slice(cut + 1);
  const value = tryParse(raw);
  return {
    ...known,
    [text.slice(0, cut)]: value === undefined ? raw : (value as JsonObject[string]),
  };
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
