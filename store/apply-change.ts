/** The two ways an update combines new data with what is there. Pure; inputs are not changed. */
import { isJsonObject, memberOf, setMember, type Json, type JsonObject } from '../domain/json.ts';

/** JSON Merge Patch, RFC 7396: objects recurse, null removes a member, anything else replaces. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isJsonObject(patch)) return patch;
  const result: JsonObject = isJsonObject(target) ? copyOf(target) : {};
  for (const name of Object.keys(patch)) {
    const change = patch[name] as Json;
    if (change === null) Reflect.deleteProperty(result, name);
    else setMember(result, name, mergePatch(memberOf(result, name), change));
  }
  return result;
}

/** Contract 06, `append`: array + array concatenates, object + object recurses, else replaces. */
export function appendJson(target: Json | undefined, addition: Json): Json {
  if (Array.isArray(target) && Array.isArray(addition)) return [...target, ...addition];
  if (!isJsonObject(target) || !isJsonObject(addition)) return addition;
  const result = copyOf(target);
  for (const name of Object.keys(addition)) {
    setMember(result, name, appendJson(memberOf(result, name), addition[name] as Json));
  }
  return result;
}

function copyOf(object: JsonObject): JsonObject {
  const copy: JsonObject = {};
  for (const name of Object.keys(object)) setMember(copy, name, object[name] as Json);
  return copy;
}
