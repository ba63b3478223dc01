// SPDX-License-Identifier: Apache-2.0
// What the API server would say of Kubernetes objects, as far as it can be had without one:  node kubernetes.mjs NODE_MODULES
//
// It reads {"objects": [...], "policies": [{"spec": ..., "object": ...}, ...]} as JSON and writes {"objects": [[mistake, ...], ...],
// "policies": [object or null, ...]}. Objects are held against the schemas of their kinds (kubernetes-models), unknown
// fields included. A policy is the spec of a MutatingAdmissionPolicy: its CEL is evaluated for an object (@bufbuild/cel)
// and the JSON patch applied; null means that a match condition does not hold.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const modules = process.argv[2];
const load = (...path) => import(pathToFileURL(join(modules, ...path)).href);

// Objects. A schema's code reads each field that the schema has, and no other.

function watched(value, path, seen) {
  if (typeof value !== "object" || value === null) return value;
  return new Proxy(value, {
    get(target, name) {
      const field = Reflect.get(target, name);
      if (typeof name !== "string" || !Object.hasOwn(target, name) || (Array.isArray(target) && name === "length")) return field;
      seen.add(`${path}/${name}`);
      return watched(field, `${path}/${name}`, seen);
    },
  });
}

function* paths(value, path) {
  if (typeof value !== "object" || value === null) return;
  for (const [name, field] of Object.entries(value)) {
    yield `${path}/${name}`;
    yield* paths(field, `${path}/${name}`);
  }
}

async function mistakes(object) {
  const [version, group = ""] = object.apiVersion.split("/").reverse();
  const library = group === "monitoring.coreos.com" ? "@kubernetes-models/prometheus-operator" : "kubernetes-models";
  // The module of a kind names the one with its schema.
  const kind = readFileSync(join(modules, library, group, version, `${object.kind}.js`), "utf8");
  const { validate } = await load(library, "_schemas", kind.match(/_schemas\/(\w+\.js)"/)[1]);
  const seen = new Set();
  if (!validate(watched(object, "", seen))) return validate.errors.map((error) => `${error.instancePath} ${error.message ?? error.keyword}`);
  return [...paths(object, "")].filter((path) => !seen.has(path)).map((path) => `no field ${path}`);
}

// Policies.

const { parse, plan, celEnv, isCelError, isCelList, isCelMap } = await load("@bufbuild/cel/dist/esm/index.js");

// JSON as CEL has it, and back.
function toCel(value) {
  if (Number.isInteger(value)) return BigInt(value);
  if (Array.isArray(value)) return value.map(toCel);
  if (typeof value !== "object" || value === null) return value;
  return new Map(Object.entries(value).map(([name, field]) => [name, toCel(field)]));
}

function fromCel(value) {
  if (typeof value === "bigint") return Number(value);
  if (isCelList(value) || Array.isArray(value)) return [...value].map(fromCel);
  if (isCelMap(value) || value instanceof Map) return Object.fromEntries([...value].map(([name, field]) => [name, fromCel(field)]));
  return value;
}

// Object.spec{...} and JSONPatch{...} are types of the API server. What they make is a JSON object, so they become maps; the
// name of an Object inside of another has to be its place, as the API server checks.
function typesToMaps(node, place) {
  if (Array.isArray(node)) return node.forEach((item) => typesToMaps(item, place));
  if (typeof node !== "object" || node === null) return;
  const struct = node.exprKind?.case === "structExpr" ? node.exprKind.value : undefined;
  if (!struct?.messageName) return Object.values(node).forEach((item) => typesToMaps(item, place));
  const name = struct.messageName;
  if (name !== "JSONPatch" && !name.startsWith("Object")) throw new Error(`unknown type ${name}`);
  if (place && name !== place) throw new Error(`${name} is used for ${place}`);
  for (const entry of struct.entries) {
    const field = entry.keyKind.value;
    typesToMaps(entry.value, name === "JSONPatch" ? undefined : `${name}.${field}`);
    const key = structuredClone(parse('""'));
    key.expr.exprKind.value.constantKind.value = field;
    entry.keyKind = { case: "mapKey", value: key.expr };
  }
  struct.messageName = "";
}

function evaluate(expression, bindings) {
  const parsed = parse(expression);
  typesToMaps(parsed.expr, undefined);
  const value = plan(celEnv(), parsed)(bindings);
  if (isCelError(value)) throw new Error(`${value.message}: ${expression}`);
  return value;
}

// The "add" of a JSON patch (RFC 6902), which is all that a policy here may use.
function add(object, { op, path, value }) {
  if (op !== "add") throw new Error(`operation ${op}`);
  const names = path.split("/").slice(1).map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = names.pop();
  const parent = names.reduce((at, name) => at[name], object);
  if (!Array.isArray(parent)) parent[last] = value;
  else if (last === "-") parent.push(value);
  else parent.splice(Number(last), 0, value);
}

function apply({ spec, object }) {
  const bindings = { object: toCel(object), variables: new Map() };
  if (!spec.matchConditions.every(({ expression }) => evaluate(expression, bindings) === true)) return null;
  for (const { name, expression } of spec.variables) bindings.variables.set(name, evaluate(expression, bindings));
  const changed = structuredClone(object);
  for (const { jsonPatch } of spec.mutations) {
    for (const operation of fromCel(evaluate(jsonPatch.expression, bindings))) add(changed, operation);
  }
  return changed;
}

const input = JSON.parse(readFileSync(0, "utf8"));
const output = { objects: [], policies: [] };
for (const object of input.objects) output.objects.push(await mistakes(object));
for (const policy of input.policies) {
  try {
    output.policies.push(apply(policy));
  } catch (error) {
    output.policies.push({ error: error.message });
  }
}
console.log(JSON.stringify(output));
