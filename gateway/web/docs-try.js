// A form beside each route: fill it, send it as an anonymous visitor, and see the answer or the events as they come.

import { authorized } from "./api.js";
import { address, TOOLS } from "./docs-calls.js";
import { copyText, el } from "./dom.js";
import { say } from "./text.js";

const MOST_SHOWN = 200_000;

// Returns the form, the same call for four tools, and the place of the answer. `sample` is a body to begin with.
export function tryIt(path, verb, operation, sample) {
  const content = operation.requestBody?.content ?? {};
  const file = Boolean(content["multipart/form-data"]);
  const streams = Object.values(operation.responses).some((answer) => answer.content?.["text/event-stream"]);
  const fields = operation.parameters.filter((each) => each.name !== "access_token").map((each) => ({ ...each, input: el("input", { type: "text", autocomplete: "off", spellcheck: false, required: each.required }) }));
  const body = content["application/json"] ? el("textarea", { rows: 5, spellcheck: false, value: JSON.stringify(sample, null, 2) }) : null;
  const sound = file ? el("input", { type: "file", accept: "audio/*" }) : null;
  const send = el("button", { type: "submit", className: "button" }, say("docs.send"));
  const stop = el("button", { type: "button", className: "button quiet", hidden: true }, say("docs.stop"));
  const status = el("p", { className: "small", role: "status" });
  const answer = el("pre", { tabIndex: 0, hidden: true, "aria-label": say("docs.answer_now") });
  const shown = el("div", { className: "calls" });

  const call = () => {
    const filled = (place) => fields.filter((each) => each.in === place && each.input.value.trim()).map((each) => [each.name, each.input.value.trim()]);
    let own = null;
    try {
      own = body ? JSON.parse(body.value || "{}") : null;
      body?.setCustomValidity("");
    } catch (error) {
      body.setCustomValidity(error.message);
    }
    return { path, verb, file, streams, body: own, method: operation["x-grpc-method"], token: operation.security.length > 0, parts: Object.fromEntries(filled("path")), query: filled("query"), headers: filled("header") };
  };
  const show = () => shown.replaceChildren(...tools(call()));

  async function ask(control) {
    const asked = call();
    const headers = { ...(await authorized()), ...Object.fromEntries(asked.headers) };
    const init = { method: verb.toUpperCase(), headers, signal: control.signal };
    if (asked.body) Object.assign(headers, { "Content-Type": "application/json" }), (init.body = JSON.stringify(asked.body));
    if (sound?.files[0]) (init.body = new FormData()).append("file", sound.files[0]);
    if (streams) headers.Accept = "text/event-stream";
    const began = performance.now();
    const got = await fetch(address(asked), init);
    status.textContent = say("docs.answered", { status: got.status, ms: Math.round(performance.now() - began) });
    answer.hidden = false;
    if (!streams || !got.ok) {
      const text = (await got.text()).slice(0, MOST_SHOWN);
      try {
        answer.textContent = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        answer.textContent = text;
      }
      return;
    }
    for (const reader = got.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      answer.textContent = (answer.textContent + value).slice(-MOST_SHOWN);
      answer.scrollTop = answer.scrollHeight;
    }
  }

  const label = (words, input) => el("label", { className: "field" }, el("code", {}, words), input);
  const form = el("form", { className: "trying" }, el("h3", {}, say("docs.try")), ...fields.map((each) => label(each.name, each.input)), body ? label(say("docs.body"), body) : "", sound ? label("file", sound) : "", el("p", { className: "row" }, send, stop), status, answer);
  form.addEventListener("input", show);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const control = new AbortController();
    answer.textContent = "";
    send.disabled = true;
    stop.hidden = !streams;
    stop.onclick = () => control.abort();
    try {
      await ask(control);
    } catch (error) {
      if (!control.signal.aborted) status.textContent = error.message || say("error.network");
    }
    send.disabled = false;
    stop.hidden = true;
  });
  show();
  return [shown, form];
}

function tools(call) {
  return Object.entries(TOOLS).filter(([name]) => name !== "buf curl" || call.method).map(([name, write]) => {
    const text = write(call);
    const copy = el("button", { type: "button", className: "button quiet" }, say("share.copy"));
    copy.addEventListener("click", () => copyText(text, copy));
    return el("div", { className: "curl" }, el("h4", {}, name), el("pre", { tabIndex: 0, "aria-label": name }, el("code", {}, text)), copy);
  });
}
