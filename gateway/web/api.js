// The JSON interface: an anonymous session, calls, and uploads with progress.

import { anonymousLogin, uploadAsset } from "./client.js";
import { locale, say } from "./text.js";

const DEVICE = "cadenza.device";
const SESSION = "cadenza.session";
const TRIES = 4;

// A refusal of the gateway, or its silence (status 0).
export class ApiError extends Error {
  constructor(status, body) {
    super(body.message || say("error.network"));
    this.status = status;
    this.symbol = body.error || "";
    this.metadata = body.details?.metadata || {};
    this.trace = body.trace_id || "";
  }

  // Whether the same call may do better in a moment.
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // Without storage everything works until the page is closed.
  }
}

let session = JSON.parse(remembered(SESSION) || "null");
let device = remembered(DEVICE);
let entering = null;

// Resolves to a token, logging in when there is none that still holds.
async function token() {
  if (session && session.until > Date.now()) return session.token;
  entering ??= enter().finally(() => (entering = null));
  return entering;
}

async function enter() {
  if (!device) {
    device = randomId();
    remember(DEVICE, device);
  }
  const data = await request(anonymousLogin({ provider: "web", provider_id: device }), {});
  session = { token: data.access_token, until: Date.now() + (data.expires_in - 60) * 1000 };
  remember(SESSION, JSON.stringify(session));
  return session.token;
}

export function forgetSession() {
  session = null;
  remember(SESSION, null);
}

const spoken = () => ({ "Accept-Language": locale(), "X-Platform": "web" });

export async function authorized() {
  return { ...spoken(), Authorization: `Bearer ${await token()}` };
}

async function request({ method, path, body }, headers) {
  const init = { method, headers: { ...spoken(), ...headers } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(path, init).catch(() => null);
  return unpack(answer ? answer.status : 0, answer ? await answer.text().catch(() => "") : "");
}

function unpack(status, text) {
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    if (status < 400) status = 0;
  }
  if (status < 200 || status >= 300) throw new ApiError(status, body);
  return body.data;
}

// Resolves to the data of a call of `client.js`; a session that ended is opened again once.
export async function call(asked, headers = {}) {
  for (let again = true; ; again = false) {
    try {
      return await request(asked, { ...(await authorized()), ...headers });
    } catch (error) {
      if (!(again && error.status === 401)) throw error;
      forgetSession();
    }
  }
}

// Like `call`, for what may be repeated: tries again while the gateway is out of reach.
export async function callPatiently(asked, headers = {}) {
  for (let tries = 1; ; tries++) {
    try {
      return await call(asked, headers);
    } catch (error) {
      if (tries >= TRIES || !error.passing || error.status === 429) throw error;
      await pause(400 * 2 ** tries);
    }
  }
}

// Sends a file as a form and resolves to its asset; `tell` hears the percentage. `stop` aborts it.
export async function upload(file, name, { key, tell, stop }) {
  const headers = { ...(await authorized()), "Idempotency-Key": key };
  const form = new FormData();
  form.append("file", file, name);
  const answer = await new Promise((done, fail) => {
    const http = new XMLHttpRequest();
    const { method, path } = uploadAsset();
    http.open(method, path);
    for (const [header, value] of Object.entries(headers)) http.setRequestHeader(header, value);
    http.upload.addEventListener("progress", (event) => tell(event.total ? (100 * event.loaded) / event.total : 0));
    http.addEventListener("load", () => done(http));
    http.addEventListener("error", () => done({ status: 0, responseText: "" }));
    http.addEventListener("abort", () => fail(new DOMException("stopped", "AbortError")));
    stop.addEventListener("abort", () => http.abort());
    http.send(form);
  });
  if (answer.status === 401) forgetSession();
  return unpack(answer.status, answer.responseText).asset;
}
