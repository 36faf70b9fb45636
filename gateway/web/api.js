// The JSON interface: the session of whoever is here, calls, and uploads with progress.

import { anonymousLogin, logout, refreshSession, uploadAsset } from "./client.js";
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

const stored = () => JSON.parse(remembered(SESSION) || "null");
const over = (error) => error.symbol === "AUTH_REQUIRED" || error.symbol === "AUTH_EXPIRED";
const listeners = [];
let session = stored();
let device = remembered(DEVICE);
let entering = null;

// Hears when another person is here than before: logged in or out, in this tab or in another.
export const whenPersonChanges = (listener) => listeners.push(listener);

addEventListener("storage", ({ key }) => {
  if (key !== SESSION) return;
  const before = session?.user;
  session = stored();
  if (before && session?.user !== before) for (const listener of listeners) listener();
});

// Resolves to a token, renewing or opening a session when there is none that still holds.
async function token() {
  if (session && session.until > Date.now()) return session.token;
  entering ??= renew().finally(() => (entering = null));
  return entering;
}

// Keeps a session that a door gave.
export function keepSession(given) {
  const until = Date.now() + (given.expires_in - 60) * 1000;
  session = { ...session, token: given.access_token, until, refresh: given.refresh_token, key: randomId(), user: given.user_id };
  remember(SESSION, JSON.stringify(session));
  return session.token;
}

// Notes whether the person has another way in than this browser.
export function named(yes) {
  session.named = yes;
  remember(SESSION, JSON.stringify(session));
}

async function renew() {
  const { refresh, key, user, named } = session ?? {};
  if (!refresh) return enter();
  try {
    // The key is the same in all tabs, so that a race between them or a lost answer ends nothing.
    return keepSession((await request(refreshSession({ refresh_token: refresh, retry_key: key }))).session);
  } catch (error) {
    const newer = stored();
    if (error.status === 409 && newer && newer.refresh !== refresh) return (session = newer).token;
    if (!over(error)) throw error;
    await enterAfter(user, named);
    if (!named) return session.token;
    for (const listener of listeners) listener();
    throw error;
  }
}

async function enter() {
  session = null;
  if (!device) {
    device = randomId();
    remember(DEVICE, device);
  }
  return keepSession((await request(anonymousLogin({ provider: "web", provider_id: device }))).session);
}

// Enters as whoever this browser's own id leads to; as somebody new when that is the named person who has just left.
async function enterAfter(user, named) {
  await enter();
  if (!named || session.user !== user) return;
  await request(logout(), { Authorization: `Bearer ${session.token}` });
  device = null;
  await enter();
}

// Logs out here.
export async function leave() {
  const { user } = session;
  await call(logout());
  await enterAfter(user, true);
}

// The token was refused: the next call renews the session.
export function doubtSession() {
  if (session) session.until = 0;
}

const spoken = () => ({ "Accept-Language": locale(), "X-Platform": "web" });

export async function authorized() {
  return { ...spoken(), Authorization: `Bearer ${await token()}` };
}

// Resolves to the data of a call that needs no token.
export async function request({ method, path, body }, headers = {}) {
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

// Resolves to the data of a call of `client.js`; a session that ended is renewed once.
export async function call(asked, headers = {}) {
  for (let again = true; ; again = false) {
    try {
      return await request(asked, { ...(await authorized()), ...headers });
    } catch (error) {
      if (!(again && over(error))) throw error;
      doubtSession();
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
  if (answer.status === 401) doubtSession();
  return unpack(answer.status, answer.responseText).asset;
}
