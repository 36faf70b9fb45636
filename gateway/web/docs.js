// The API document as a page: every route with its fields, the same call for four tools, and a form to try it.

import { tryIt } from "./docs-try.js";
import { $, el } from "./dom.js";
import { say, whenLocaleChanges } from "./text.js";

const DEPTH = 3;
let document_ = null;

const resolve = (schema) => (schema?.$ref ? document_.components.schemas[schema.$ref.split("/").pop()] : schema) ?? {};

// A schema with its reference, null and list wrappings taken off.
function bare(schema) {
  const own = resolve(schema);
  const inner = own.anyOf?.find((each) => each.type !== "null");
  if (inner) return { ...bare(inner), nullable: true };
  if ([own.type].flat().includes("array")) return { ...bare(own.items), list: true };
  return own;
}

function typeWords(schema) {
  const own = bare(schema);
  let words = [own.type ?? "any"].flat().filter((each) => each !== "null").join(" | ");
  if (own.enum) words = own.enum.join(" | ");
  else if (own.format) words += ` (${own.format})`;
  if (own.list) words += "[]";
  return words;
}

function* rows(schema, path = "", depth = 0) {
  const own = bare(schema);
  for (const [name, field] of Object.entries(own.properties ?? {})) {
    const required = own.required?.includes(name);
    yield { name: path + name, type: typeWords(field), words: resolve(field).description ?? "", required };
    const inner = bare(field);
    if (inner.properties && depth < DEPTH) yield* rows(field, `${path}${name}${inner.list ? "[]" : ""}.`, depth + 1);
  }
}

// The comments of the contracts mark names with backquotes.
const prose = (text) => text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part)).filter((part) => part !== "");

function table(title, found, { marked = false } = {}) {
  if (!found.length) return "";
  const body = found.map((row) => el("tr", {}, el("td", {}, el("code", {}, row.name), marked && row.required ? el("span", { className: "required" }, ` ${say("docs.required")}`) : ""), el("td", {}, row.type), el("td", {}, ...prose(row.words))));
  const head = el("tr", {}, ...["docs.field", "docs.type", "docs.meaning"].map((key) => el("th", { scope: "col" }, say(key))));
  return el("div", { className: "docs-table", tabIndex: 0 }, el("table", {}, el("caption", {}, title), el("thead", {}, head), el("tbody", {}, ...body)));
}

function answerSchema(operation) {
  const content = Object.values(operation.responses)[0].content ?? {};
  const schema = content["text/event-stream"]?.schema.properties.data.contentSchema ?? content["application/json"]?.schema;
  return schema?.allOf ? schema.allOf.at(-1).properties.data : schema;
}

function route(path, verb, operation) {
  const parameters = operation.parameters.map((each) => ({ name: each.name, type: `${typeWords(each.schema)} · ${each.in}`, words: each.description ?? each.schema.description ?? "", required: each.required }));
  const body = operation.requestBody?.content["application/json"];
  const refusals = Object.entries(operation.responses).filter(([status]) => status >= 400).map(([status, answer]) => ({ name: status, type: answer.headers ? Object.keys(answer.headers).join(", ") : "", words: answer.description }));
  const open = operation.security.length ? "" : el("span", { className: "badge" }, say("docs.public"));
  const old = operation.deprecated ? el("span", { className: "badge old" }, say("docs.older")) : "";
  const summary = el("summary", {}, el("span", { className: `verb ${verb}` }, verb.toUpperCase()), el("code", {}, path), el("span", { className: "route-words" }, ...prose(operation.summary)), open, old);
  const details = el("details", { className: "route" }, summary);
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    details.append(
      el("p", {}, ...prose(operation.description)),
      table(say("docs.parameters"), parameters, { marked: true }),
      body ? table(say("docs.body"), [...rows(body.schema)], { marked: true }) : "",
      ...tryIt(path, verb, operation, body ? body.example : {}),
      table(say("docs.answer"), [...rows(answerSchema(operation) ?? {})]),
      table(say("docs.refusals"), refusals),
    );
  });
  details.dataset.find = `${verb} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
  return details;
}

function show() {
  const groups = document_.tags.map((tag) => {
    const found = Object.entries(document_.paths).flatMap(([path, verbs]) =>
      Object.entries(verbs).filter(([, operation]) => operation.tags.includes(tag.name)).map(([verb, operation]) => route(path, verb, operation)),
    );
    return el("section", { className: "group" }, el("h2", {}, tag.name), el("p", { className: "small" }, tag.description), ...found);
  });
  $("routes").replaceChildren(...groups);
  find();
}

function find() {
  const wanted = $("find").value.trim().toLowerCase();
  let count = 0;
  for (const group of document.querySelectorAll(".group")) {
    let some = false;
    for (const each of group.querySelectorAll(".route")) {
      each.hidden = !each.dataset.find.includes(wanted);
      if (!each.hidden) {
        some = true;
        count++;
      }
    }
    group.hidden = !some;
  }
  $("docs-status").textContent = say("docs.count", { count });
}

$("find").addEventListener("input", find);
whenLocaleChanges(() => document_ && show());
try {
  document_ = await (await fetch("/api/docs/openapi.json")).json();
  show();
} catch {
  $("docs-status").textContent = say("error.network");
}
