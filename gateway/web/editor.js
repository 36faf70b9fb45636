// A tune as it was heard, as a picture that can be listened to and changed: how loud the take is, the curve of the voice,
// the notes read from it, and key, metre, tempo and stretch.

import { $, el } from "./dom.js";
import { clock, keyName, say } from "./text.js";
import { make } from "./wave.js";

const LEAST_A_SECOND = 64;
const SEMITONE = 12;
const AROUND = 3;
const LOWEST = 24;
const HIGHEST = 108;
const MOST_SEMITONES = 12;
const NEAR_MS = 50;
const TONICS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
const NAMES = TONICS.map((name) => name.replace("b", "♭"));
const METRES = [3, 4];

const nameOf = (pitch) => `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;

export class Editor {
  // The elements have ids that begin with `prefix`, the player of the take among them; `announce` speaks, `changed`
  // hears that the tune is another one now.
  constructor(prefix, { announce, changed = () => {} }) {
    Object.assign(this, { prefix, tell: { announce, changed }, heard: null, notes: [], at: -1, peaks: [], edited: false });
    for (const event of ["play", "seeked", "pause"]) this.get("player").addEventListener(event, () => this.follow(), true);
    this.get("up").addEventListener("click", () => this.move(1));
    this.get("down").addEventListener("click", () => this.move(-1));
    this.get("drop").addEventListener("click", () => this.drop());
    this.get("undo").addEventListener("click", () => this.begin());
    for (const name of ["transpose", "key", "metre", "tempo", "from", "to"]) this.get(name).addEventListener("input", () => this.shade() || changed());
    this.get("transpose").append(...Array.from({ length: 2 * MOST_SEMITONES + 1 }, (_, at) => MOST_SEMITONES - at).map((by) => el("option", { value: by }, by > 0 ? `+${by}` : String(by))));
    this.get("key").append(...["major", "minor"].flatMap((mode) => TONICS.map((tonic) => el("option", { value: `${tonic} ${mode}` }))));
  }

  get(name) {
    return $(`${this.prefix}-${name}`);
  }

  get audio() {
    return this.get("player").querySelector("audio");
  }

  // Shows what was heard: an answer with `analysis` and the curve, over the outline of the take.
  open(heard, peaks) {
    Object.assign(this, { heard, peaks });
    this.begin();
  }

  close() {
    this.heard = null;
    this.get("roll").replaceChildren();
  }

  words() {
    for (const option of this.get("key").options) option.textContent = keyName(option.value);
    if (this.heard) this.draw();
  }

  // Everything as it was heard.
  begin() {
    const { analysis } = this.heard;
    this.notes = analysis.notes.map((note) => ({ ...note }));
    this.at = -1;
    this.edited = false;
    this.get("transpose").value = "0";
    this.get("key").value = analysis.key;
    // What is neither, such as 6/8, can be kept as it was heard.
    const metre = analysis.metre || `${analysis.beats_per_bar}/4`;
    const others = METRES.filter((beats) => `${beats}/4` !== metre);
    this.get("metre").replaceChildren(el("option", { value: "" }, metre), ...others.map((beats) => el("option", { value: beats }, `${beats}/4`)));
    this.get("metre").value = "";
    this.get("tempo").value = Math.round(analysis.tempo_bpm);
    this.get("from").value = (analysis.segment_start_ms / 1000).toFixed(1);
    this.get("to").value = (analysis.segment_end_ms / 1000).toFixed(1);
    this.words();
    this.tell.changed();
  }

  draw() {
    const { f0_cents: curve, f0_step_ms: step } = this.heard;
    const pitches = this.notes.map((note) => note.pitch);
    const low = Math.min(...pitches) - AROUND;
    const high = Math.max(...pitches) + AROUND;
    this.seconds = Math.max((curve.length * step) / 1000, 0.1);
    // As wide as its frame, and wider where notes would get too small to be hit.
    this.scale = Math.max(LEAST_A_SECOND, this.get("roll").clientWidth / this.seconds);
    const width = Math.floor(this.seconds * this.scale);
    const height = (high - low) * SEMITONE;
    const y = (pitch) => (high - pitch) * SEMITONE;
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": say("tune.picture") });
    if (this.peaks.length) svg.append(make("path", { d: outline(this.peaks, width, height), class: "loud" }));
    for (let pitch = low + 1; pitch < high; pitch++) if (pitch % 12 === 0) svg.append(make("line", { x1: 0, x2: width, y1: y(pitch), y2: y(pitch), class: "octave" }));
    this.shades = [0, 1].map(() => make("rect", { y: 0, height, class: "outside" }));
    svg.append(...this.shades);
    this.notes.forEach((note, at) => svg.append(this.block(note, at, y)));
    svg.append(make("path", { d: voice(curve, (step * this.scale) / 1000, y, low, high), class: "voice" }));
    this.head = make("line", { y1: 0, y2: height, class: "head", visibility: "hidden" });
    svg.append(this.head);
    svg.addEventListener("click", (event) => event.target.classList.contains("note") || this.play((event.clientX - svg.getBoundingClientRect().left) / this.scale));
    this.get("roll").replaceChildren(svg);
    this.shade();
    this.show();
  }

  block(note, at, y) {
    const x = (note.start_ms * this.scale) / 1000;
    const width = Math.max(((note.end_ms - note.start_ms) * this.scale) / 1000 - 1, 3);
    const label = say("tune.note", { number: at + 1, count: this.notes.length, name: nameOf(note.pitch), at: clock(note.start_ms / 1000) });
    const first = at === Math.max(this.at, 0);
    const rect = make("rect", { x, y: y(note.pitch) - SEMITONE / 2, width, height: SEMITONE, rx: 3, class: "note", role: "button", tabindex: first ? 0 : -1, "aria-label": label, "aria-pressed": String(at === this.at) });
    rect.addEventListener("click", () => {
      rect.focus();
      this.hear(at);
    });
    rect.addEventListener("focus", () => this.pick(at));
    rect.addEventListener("keydown", (event) => this.key(event));
    return rect;
  }

  // What lies outside the stretch is paler.
  shade() {
    if (!this.shades) return;
    const [from, to] = ["from", "to"].map((name) => Math.min(Math.max(Number(this.get(name).value) || 0, 0), this.seconds) * this.scale);
    const [before, after] = this.shades;
    before.setAttribute("width", from);
    after.setAttribute("x", to);
    after.setAttribute("width", Math.max(this.seconds * this.scale - to, 0));
  }

  pick(at) {
    this.at = at;
    this.rects().forEach((rect, each) => {
      rect.setAttribute("aria-pressed", String(each === at));
      rect.setAttribute("tabindex", each === at ? 0 : -1);
    });
    this.show();
  }

  rects() {
    return [...this.get("roll").querySelectorAll(".note")];
  }

  show() {
    const picked = this.notes[this.at];
    this.get("up").disabled = !picked || picked.pitch >= HIGHEST;
    this.get("down").disabled = !picked || picked.pitch <= LOWEST;
    this.get("drop").disabled = !picked || this.notes.length < 2;
    this.get("picked").textContent = picked ? nameOf(picked.pitch) : "";
  }

  key(event) {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const aside = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) this.move(by);
    else if (aside) this.rects()[this.at + aside]?.focus();
    else if (event.key === "Delete" || event.key === "Backspace") this.drop();
    else if (event.key === "Enter" || event.key === " ") this.hear(this.at);
    else return;
    event.preventDefault();
  }

  move(by) {
    const note = this.notes[this.at];
    if (!note || note.pitch + by > HIGHEST || note.pitch + by < LOWEST) return;
    note.pitch += by;
    this.redraw();
    this.tell.announce(nameOf(note.pitch));
  }

  drop() {
    if (!this.notes[this.at] || this.notes.length < 2) return;
    this.notes.splice(this.at, 1);
    this.at = Math.min(this.at, this.notes.length - 1);
    this.redraw();
    this.tell.announce(say("tune.dropped"));
  }

  // The picture is drawn anew; where the person was, the person stays.
  redraw() {
    this.edited = true;
    const inside = this.get("roll").contains(document.activeElement);
    this.draw();
    if (inside) this.rects()[this.at].focus({ preventScroll: true });
    this.tell.changed();
  }

  // ---- listening

  hear(at) {
    const note = this.notes[at];
    if (note) this.play(note.start_ms / 1000, note.end_ms / 1000);
  }

  play(from, until = Infinity) {
    if (!this.audio) return;
    this.until = until;
    this.audio.currentTime = from;
    this.audio.play().catch(() => {});
  }

  follow() {
    const { audio, head } = this;
    if (!audio || !head?.isConnected) return;
    if (audio.currentTime >= this.until) {
      this.until = Infinity;
      audio.pause();
    }
    const x = audio.currentTime * this.scale;
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
    head.setAttribute("visibility", audio.paused ? "hidden" : "visible");
    if (!audio.paused) requestAnimationFrame(() => this.follow());
  }

  // ---- what is otherwise now

  // Returns the change for the interface, or null when everything is as it was heard.
  change() {
    const { analysis } = this.heard;
    const number = (name) => Number(this.get(name).value);
    const change = {};
    if (number("transpose")) change.transpose_semitones = number("transpose");
    if (this.edited) change.notes = this.notes;
    if (number("tempo") !== Math.round(analysis.tempo_bpm)) change.tempo_bpm = number("tempo");
    if (this.get("key").value !== analysis.key) change.key = this.get("key").value;
    if (number("metre")) change.beats_per_bar = number("metre");
    const [from, to] = ["from", "to"].map((name) => Math.round(number(name) * 1000));
    if (Math.abs(from - analysis.segment_start_ms) > NEAR_MS || Math.abs(to - analysis.segment_end_ms) > NEAR_MS) Object.assign(change, { segment_start_ms: from, segment_end_ms: to });
    return Object.keys(change).length ? change : null;
  }
}

// The curve as a path, broken where nobody sings.
function voice(curve, across, y, low, high) {
  let d = "";
  let sings = false;
  curve.forEach((cents, at) => {
    const pitch = cents / 100;
    const inside = cents > 0 && pitch > low && pitch < high;
    if (inside) d += `${sings ? "L" : "M"}${(at * across).toFixed(1)} ${y(pitch).toFixed(1)}`;
    sings = inside;
  });
  return d;
}

// The outline of the sound as one shape around the middle.
function outline(peaks, width, height) {
  const x = (at) => ((at * width) / (peaks.length - 1 || 1)).toFixed(1);
  const y = (peak, side) => (height / 2 + (side * Math.min(peak, 100) * height) / 210).toFixed(1);
  const over = peaks.map((peak, at) => `${x(at)} ${y(peak, -1)}`);
  const under = peaks.map((peak, at) => `${x(at)} ${y(peak, 1)}`).reverse();
  return `M${[...over, ...under].join("L")}Z`;
}
