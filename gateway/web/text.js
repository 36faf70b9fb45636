// The words of the page in the reader's language, and the change from one language to the other.

let catalogue = {};
const listeners = [];

export const locale = () => document.documentElement.lang;

// Words a key; `{name}` is filled from the values.
export function say(key, values = {}) {
  const text = catalogue[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

export const has = (key) => key in catalogue;

export function whenLocaleChanges(listener) {
  listeners.push(listener);
}

async function load(wanted) {
  const answer = await fetch(new URL(`text/${wanted}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`no texts for ${wanted}`);
  catalogue = await answer.json();
}

// Speaks the other language from now on, without a reload: a take that is not sent yet must not be lost.
export async function switchLocale(wanted) {
  await load(wanted);
  document.documentElement.lang = wanted;
  document.cookie = `lang=${wanted}; path=/; max-age=31536000; samesite=lax`;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = say(element.dataset.t);
  for (const element of document.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", say(element.dataset.tLabel));
  for (const element of document.querySelectorAll("[data-t-hint]")) element.placeholder = say(element.dataset.tHint);
  for (const listener of listeners) listener();
}

// A key such as `D major` in the reader's words.
export function keyName(key) {
  const [tonic, mode] = key.split(" ");
  if (mode === "major") return say("key.major", { tonic });
  if (mode === "minor") return say("key.minor", { tonic });
  return key;
}

// Whoever made something, in the reader's words: our own engine by name and version, others as they call themselves.
export const engineName = (provider, version = "") => (provider === "offline" ? say("engine.offline", { version }).trim() : provider);

export const styleName = (style) => (has(`style.${style}`) ? say(`style.${style}`) : style);

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// A day and the time of it, as people of the language write them.
export const moment = (time) => new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));

await load(locale());
