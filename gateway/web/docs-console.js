// One log, read twice at the same time: as server-sent events, and as gRPC answers it when it is asked.

import { call, callPatiently, pause, randomId } from "./api.js";
import { createTrack, listJobEvents, watchJob } from "./client.js";
import { grpcCall } from "./docs-calls.js";
import { $, copyText, el } from "./dom.js";
import { watch } from "./events.js";
import { say, whenLocaleChanges } from "./text.js";

const ASK_MS = 1000;
const ENDED = ["completed", "failed", "cancelled"];
const WORDS = "[verse]\nEvery line of this is kept\nEvery reader hears it all\n[chorus]\nOne by one and none is left\nOne by one they hear it call";

const state = { stop: new AbortController(), events: [], asked: [], problem: "" };

// A line of the log as it is shown: what both readers have to agree upon.
const written = (event) => [event.sequence, event.state, event.step, `${event.progress_percent}%`, event.message].filter(Boolean).join(" · ");

function show() {
  for (const [place, lines] of [["console-events", state.events], ["console-asked", state.asked]]) {
    const list = $(place);
    if (lines.length < list.childElementCount) list.replaceChildren();
    for (const event of lines.slice(list.childElementCount)) list.append(el("li", {}, written(event)));
    list.scrollTop = list.scrollHeight;
  }
  const [events, asked] = [state.events, state.asked].map((lines) => lines.map(written));
  const both = Math.min(events.length, asked.length);
  const other = events.slice(0, both).findIndex((line, at) => line !== asked[at]);
  const ended = both > 0 && both === events.length && both === asked.length && state.events[both - 1].final;
  $("console-said").textContent = state.problem || (!both ? "" : other >= 0 ? say("console.other", { number: other + 1 }) : say(ended ? "console.whole" : "console.alike", { count: both }));
  showCommand();
}

function showCommand() {
  const job = $("console-job").value.trim();
  $("console-command").textContent = grpcCall({ token: true, message: { job_id: job || "…" }, method: "cadenza.composer.v1.JobService/WatchJob" });
}

async function follow(job) {
  state.stop.abort();
  state.stop = new AbortController();
  Object.assign(state, { events: [], asked: [], problem: "" });
  $("console-job").value = job;
  $("console-stop").hidden = false;
  show();
  const stop = state.stop.signal;
  try {
    await Promise.all([hear(job, stop), ask(job, stop)]);
  } catch (error) {
    if (!stop.aborted) state.problem = error.message || say("error.network");
    state.stop.abort();
  }
  if (stop === state.stop.signal) $("console-stop").hidden = true;
  show();
}

async function hear(job, stop) {
  for await (const { event } of watch(watchJob({ job_id: job }), { stop })) {
    if (!event) continue;
    state.events.push(event);
    show();
  }
}

async function ask(job, stop) {
  for (let done = false; !done && !stop.aborted; ) {
    const after = state.asked.at(-1)?.sequence ?? 0;
    const answer = await callPatiently(listJobEvents({ job_id: job, after_sequence: after }));
    if (stop.aborted) return;
    state.asked.push(...answer.events);
    done = ENDED.includes(answer.job.state) && answer.events.length === 0;
    show();
    if (!done) await pause(ASK_MS);
  }
}

// A short song of words, paid from the visitor's own credits.
async function begin() {
  $("console-begin").disabled = true;
  try {
    const wish = { lyrics: WORDS, duration_s: 30, title: say("console.title") };
    const { job_id: job } = await call(createTrack(wish), { "Idempotency-Key": randomId() });
    follow(job);
  } catch (error) {
    state.problem = error.message;
    show();
  }
  $("console-begin").disabled = false;
}

$("console").addEventListener("submit", (event) => {
  event.preventDefault();
  follow($("console-job").value.trim());
});
$("console-begin").addEventListener("click", begin);
$("console-stop").addEventListener("click", () => state.stop.abort());
$("console-job").addEventListener("input", showCommand);
$("console-copy").addEventListener("click", () => copyText($("console-command").textContent, $("console-copy")));
whenLocaleChanges(show);
showCommand();
