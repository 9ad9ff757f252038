/**
 * How a link names an MCP memory server, and what the server's operator must have allowed.
 * Secrets are references, resolved when the connector is opened, never stored.
 */
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { z } from 'zod';
import { AppError } from '../../domain/errors.ts';
import type { ConnectorPermissions } from '../connector.ts';
import { rateLimitSchema } from '../rate-limit.ts';
import { checkRemoteHost } from '../remote-host.ts';
import { secretReference } from '../secret-reference.ts';
import { webAddressSchema } from '../web-address.ts';

/** The variable the memory server takes its file from; relative paths would land in its package. */
export const MEMORY_FILE_VARIABLE = 'MEMORY_FILE_PATH';

const textOrSecret = z.union([z.string(), secretReference], {
  error: 'must be a text, or {"env":"NAME"}: the name of a variable of the server that holds it',
});
/** A value given in clear, or the name of the variable that holds it. */
export type TextOrSecret = z.infer<typeof textOrSecret>;

const stdioConfig = z
  .strictObject({
    command: z.string().min(1).describe('Program to start, exactly as the operator allowed it.'),
    args: z.array(z.string()).optional().describe('Arguments of the program.'),
    env: z.record(z.string(), textOrSecret).optional().describe('Extra environment variables.'),
    memoryFile: z
      .string()
      .refine(isAbsolute, 'must be an absolute path')
      .optional()
      .describe(`Absolute path of the memory file; becomes ${MEMORY_FILE_VARIABLE}.`),
  })
  .superRefine((config, issues) => {
    if (config.env?.[MEMORY_FILE_VARIABLE] === undefined) return;
    issues.addIssue({
      code: 'custom',
      path: ['env', MEMORY_FILE_VARIABLE],
      message: 'use memoryFile, so that the file can be watched and its folder checked',
    });
  });

const httpConfig = z.strictObject({
  url: webAddressSchema.describe('Address of a streamable HTTP endpoint.'),
  headers: z.record(z.string(), textOrSecret).optional().describe('Headers of every request.'),
  rateLimit: rateLimitSchema.optional(),
});

/** Config of the `mcp-memory` connector: a program over stdio, or an address over HTTP. */
export const mcpMemoryConfigSchema = z.union([stdioConfig, httpConfig], {
  error:
    'needs either `command` (a program, spoken to over stdio) or `url` (an address, over HTTP), and not both',
});
export type McpMemoryStdioConfig = z.infer<typeof stdioConfig>;
export type McpMemoryHttpConfig = z.infer<typeof httpConfig>;
export type McpMemoryConfig = McpMemoryStdioConfig | McpMemoryHttpConfig;

/** Whether a config starts a program. */
export function isStdioConfig(config: McpMemoryConfig): config is McpMemoryStdioConfig {
  return 'command' in config;
}

/** The memory file a config names, or null when it names none (or lives behind an address). */
export function memoryFileOf(config: McpMemoryConfig): string | null {
  return isStdioConfig(config) && config.memoryFile ? resolve(config.memoryFile) : null;
}

/** @throws AppError CONNECTOR_NOT_ALLOWED when the operator allowed neither the program, the folder nor the host */
export function checkMcpMemoryAllowed(
  config: McpMemoryConfig,
  permissions: ConnectorPermissions,
): void {
  if (!isStdioConfig(config)) {
    checkRemoteHost(config.url, permissions);
    return;
  }
  if (!permissions.stdioCommands.includes(config.command)) {
    throw new AppError(
      'CONNECTOR_NOT_ALLOWED',
      `The command "${config.command}" may not be started here. Allow it with SYNCLINE_STDIO_ALLOW.`,
    );
  }
  const file = memoryFileOf(config);
  if (file && !permissions.fileRoots.some((root) => isInside(resolve(root), file))) {
    throw new AppError(
      'CONNECTOR_NOT_ALLOWED',
      `The memory file ${file} is outside the allowed folders. Allow its folder with SYNCLINE_FILE_ROOTS.`,
    );
  }
}

/** Whether an absolute path lies below a root (the root itself is not below itself). */
export function isInside(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** Clear texts of a record whose values may be secret references. */
export function resolveSecrets(
  values: Readonly<Record<string, TextOrSecret>> | undefined,
  secret: (name: string) => string,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values ?? {}).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : secret(value.env),
    ]),
  );
}
