/** Connectors and links. */
import type { Caller } from '../../domain/context.ts';
import type { ContextKey, LinkId } from '../../domain/ids.ts';
import type { GuardConfig, Link } from '../../domain/link.ts';
import type { LinkStore, NewLink, QuarantineChoice } from '../../store/contract.ts';
import { SYNC_CALLS } from '../contract.ts';
import type { LinkPatch } from '../contract.ts';
import type { ConnectorCatalog, ConnectorInfo } from '../ports.ts';
import { route, type Answer, type Route } from './route.ts';

interface GivenDeps {
  readonly links: LinkStore;
  readonly connectors: ConnectorCatalog;
}

interface LinkDeps extends GivenDeps {
  /** By kind; asked for once, because a catalogue does not change. */
  readonly infos: ReadonlyMap<string, ConnectorInfo>;
}

/** Links by id or name. */
export function linkRoutes(given: GivenDeps): readonly Route[] {
  const infos = new Map(given.connectors.list().map((info) => [info.kind, info]));
  const deps: LinkDeps = { ...given, infos };
  return [
    route(SYNC_CALLS.listConnectors, () => wholeList(deps.connectors.list())),
    createLink(deps),
    route(SYNC_CALLS.listLinks, async ({ query, caller }) => {
      const { items, nextCursor } = await deps.links.list(caller, query);
      const body = { items: items.map((link) => shown(deps, link)), nextCursor };
      return { status: 200, body };
    }),
    route(SYNC_CALLS.getLink, async ({ params, caller }) =>
      answerLink(deps, await deps.links.get(caller, params.id)),
    ),
    patchLink(deps),
    removeLink(deps),
    route(SYNC_CALLS.pauseLink, ({ params, caller }) =>
      change(deps, caller, params.id, (id) => deps.links.pause(caller, id)),
    ),
    route(SYNC_CALLS.resumeLink, ({ params, caller }) =>
      change(deps, caller, params.id, (id) => deps.links.resume(caller, id)),
    ),
    route(SYNC_CALLS.resetLink, ({ params, caller }) =>
      change(deps, caller, params.id, (id) => deps.links.reset(caller, id)),
    ),
    linkStatus(deps),
    route(SYNC_CALLS.linkQuarantine, async ({ params, caller }) => {
      const { id } = await deps.links.get(caller, params.id);
      return wholeList(await deps.links.quarantined(caller, id));
    }),
    route(SYNC_CALLS.retryQuarantine, async ({ params, body, caller }) => {
      const { id } = await deps.links.get(caller, params.id);
      const choice = choiceOf(body.keys);
      return { status: 200, body: await deps.links.retryQuarantined(caller, id, choice) };
    }),
    route(SYNC_CALLS.releaseQuarantine, async ({ params, body, caller }) => {
      const { id } = await deps.links.get(caller, params.id);
      const choice = choiceOf(body.keys);
      return { status: 200, body: await deps.links.releaseQuarantined(caller, id, choice) };
    }),
  ];
}

/** Without keys, all are meant. */
function choiceOf(keys: readonly string[] | undefined): QuarantineChoice {
  return (keys as readonly ContextKey[] | undefined) ?? null;
}

function createLink(deps: LinkDeps): Route {
  return route(SYNC_CALLS.createLink, async ({ body, caller }) => {
    await deps.connectors.check(body.connector, body.config);
    await deps.connectors.checkScope(caller.tenant, body);
    const link = await deps.links.create(caller, body);
    const headers = { Location: `/api/sync/links/${link.id}` };
    return { status: 201, body: shown(deps, link), headers };
  });
}

function patchLink(deps: LinkDeps): Route {
  return route(SYNC_CALLS.patchLink, ({ params, body, caller }) =>
    change(deps, caller, params.id, async (id, link) => {
      const changes = changesOf(body, link.guards);
      const { connector, config, scope } = { ...link, ...changes };
      if (scope.prefix !== link.scope.prefix)
        await deps.connectors.checkScope(caller.tenant, { connector, config, scope });
      return deps.links.patch(caller, id, changes);
    }),
  );
}

function removeLink(deps: LinkDeps): Route {
  return route(SYNC_CALLS.removeLink, async ({ params, caller }) => {
    const { id, name } = await deps.links.get(caller, params.id);
    await deps.links.remove(caller, id);
    return { status: 200, body: { id, name, removed: true } };
  });
}

function linkStatus(deps: LinkDeps): Route {
  return route(SYNC_CALLS.linkStatus, async ({ params, caller }) => {
    const link = await deps.links.get(caller, params.id);
    const status = await deps.links.status(caller, link.id);
    const guarantee = deps.infos.get(link.connector)?.guarantee ?? null;
    return { status: 200, body: { ...status, grade: gradeOf(deps, link), guarantee } };
  });
}

async function change(
  deps: LinkDeps,
  caller: Caller,
  idOrName: string,
  act: (id: LinkId, link: Link) => Promise<Link>,
): Promise<Answer> {
  const link = await deps.links.get(caller, idOrName);
  return answerLink(deps, await act(link.id, link));
}

/** The members a patch names; guards it does not name stay as they are. */
function changesOf(patch: LinkPatch, guards: GuardConfig): Partial<NewLink> {
  const { guards: given, ...rest } = patch;
  const named = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  return { ...named, ...(given ? { guards: mergedGuards(guards, given) } : {}) };
}

function mergedGuards(old: GuardConfig, given: NonNullable<LinkPatch['guards']>): GuardConfig {
  const canary = given.canary === undefined ? old.canary : (given.canary ?? undefined);
  return {
    maxDeletePercent: given.maxDeletePercent ?? old.maxDeletePercent,
    maxDeleteCount: given.maxDeleteCount ?? old.maxDeleteCount,
    maxOverwritePercent: given.maxOverwritePercent ?? old.maxOverwritePercent,
    maxOverwriteCount: given.maxOverwriteCount ?? old.maxOverwriteCount,
    maxConflictPercent: given.maxConflictPercent ?? old.maxConflictPercent,
    maxConflictCount: given.maxConflictCount ?? old.maxConflictCount,
    emptySide: given.emptySide ?? old.emptySide,
    allChanged: given.allChanged ?? old.allChanged,
    ...(canary === undefined ? {} : { canary: canary }),
  };
}

const answerLink = (deps: LinkDeps, link: Link): Answer => ({
  status: 200,
  body: shown(deps, link),
});

const shown = (deps: LinkDeps, link: Link): object => ({ ...link, grade: gradeOf(deps, link) });

function gradeOf(deps: LinkDeps, link: Link): string | null {
  return deps.infos.get(link.connector)?.grade ?? null;
}

/** A list short enough to be given whole, in the form of a page. */
function wholeList(items: readonly unknown[]): Answer {
  return { status: 200, body: { items, nextCursor: null } };
}
