// Building and finding elements; text always goes in as text.

import { say } from "./text.js";

export const $ = (id) => document.getElementById(id);

// Returns an element with properties, attributes (`aria-…`, `data-…`, `role`) and children.
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

export function facts(pairs) {
  const list = el("dl", { className: "facts" });
  for (const [name, value] of pairs) if (value) list.append(el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  return list;
}

export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = el("textarea", { value: text, className: "unseen" });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  const before = button.textContent;
  const done = button.dataset.done || say("share.copied");
  if (before === done) return;
  button.textContent = done;
  setTimeout(() => (button.textContent = before), 1600);
}

// Loads more whenever the button that asks for more comes into sight, or is pressed; after an error only when pressed.
export function endless(button, load, complain) {
  let busy = false;
  const go = async () => {
    if (busy || button.hidden) return;
    busy = true;
    watcher.unobserve(button);
    try {
      await load();
      watcher.observe(button);
    } catch (error) {
      complain(error);
    }
    busy = false;
  };
  const watcher = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && go(), { rootMargin: "300px" });
  watcher.observe(button);
  button.addEventListener("click", go);
}
