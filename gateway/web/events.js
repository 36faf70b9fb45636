// Event streams read with fetch, which can send the token in a header; goes on where a connection broke off.

import { ApiError, authorized, doubtSession, pause } from "./api.js";

const SILENCE_MS = 45000; // the gateway says something at least every 15 seconds
const LONGEST_PAUSE_MS = 8000;
const MOST_FAILURES = 60;
const AGAIN = new Set(["SERVICE_UNAVAILABLE", "TIMEOUT", "RATE_LIMITED", "CANCELLED", "UNKNOWN_ERROR"]);

// Yields the messages of a watch stream to its end. `lost` hears true when the connection is gone and false when it is back.
export async function* watch({ path }, { stop, lost = () => {} }) {
  let last = 0;
  for (let failures = 0; failures < MOST_FAILURES; ) {
    try {
      for await (const event of connect(path, last, stop)) {
        failures = 0;
        lost(false);
        if (event.name === "end") return;
        if (event.name === "error") throw told(JSON.parse(event.data));
        if (event.name === "reset") {
          last = 0; // What we asked to go on after is not kept any more; the whole state follows.
          continue;
        }
        last = Math.max(last, Number(event.id) || 0);
        yield JSON.parse(event.data);
      }
    } catch (error) {
      if (stop.aborted) return;
      if (error.status === 401) doubtSession();
      else if (error instanceof ApiError && !error.passing) throw error;
    }
    if (stop.aborted) return;
    if (failures++) lost(true);
    await pause(Math.min(250 * 2 ** failures, LONGEST_PAUSE_MS));
  }
  throw new ApiError(0, {});
}

// An error inside the stream has no status of its own.
function told(body) {
  const status = AGAIN.has(body.error) ? 503 : body.error?.startsWith("AUTH_") ? 401 : 400;
  return new ApiError(status, body);
}

async function* connect(path, last, stop) {
  const silence = new AbortController();
  const abort = () => silence.abort();
  stop.addEventListener("abort", abort);
  let timer = setTimeout(abort, SILENCE_MS);
  try {
    const headers = { ...(await authorized()), Accept: "text/event-stream", ...(last ? { "Last-Event-ID": String(last) } : {}) };
    const answer = await fetch(path, { headers, signal: silence.signal, cache: "no-store" });
    if (!answer.ok) throw new ApiError(answer.status, await answer.json().catch(() => ({})));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(abort, SILENCE_MS);
      yield* parser.feed(value);
    }
  } finally {
    clearTimeout(timer);
    stop.removeEventListener("abort", abort);
    silence.abort();
  }
}

// Server-sent events, WHATWG HTML section 9.2.6, as far as the gateway uses them.
class Parser {
  rest = "";
  event = {};

  *feed(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.event.data !== undefined) yield { name: "message", ...this.event };
        this.event = {};
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") this.event.name = value;
      else if (field === "id") this.event.id = value;
      else if (field === "data") this.event.data = this.event.data === undefined ? value : `${this.event.data}\n${value}`;
    }
  }
}
