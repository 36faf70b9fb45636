// The studio: a take, a wish, a song in the making, two versions of it, a link. The address says where one is.

import { Account } from "./account.js";
import { ApiError, call, callPatiently, pause, randomId, remember, remembered, whenPersonChanges } from "./api.js";
import { cancelJob, createTrack, getBalance, getJob, getTrack, listPrices, watchJob } from "./client.js";
import { beginDock } from "./dock.js";
import { $, el } from "./dom.js";
import { watch } from "./events.js";
import { Hearing } from "./hearing.js";
import { silence } from "./player.js";
import { beginPublic, openPublic, showPublic } from "./public.js";
import { Song } from "./song.js";
import { Stages } from "./stages.js";
import { loadLimits, Take } from "./take.js";
import { say, whenLocaleChanges } from "./text.js";
import { beginTracks, loadTracks, showTracks } from "./tracks.js";
import { Words } from "./words.js";

const RUNNING = "cadenza.running";
const WISH = "cadenza.wish";
const PARTS = { start: ["take", "wish"], making: ["making"], failed: ["failed"], song: ["song"], public: ["public"] };

const state = { asset: null, price: null, balance: null, track: null, job: null, stages: null, errors: {}, facts: null, stop: new AbortController(), view: "start" };
const take = new Take({
  ready: (asset) => {
    state.asset = asset;
    if (asset) go({ asset: asset.asset_id });
    else if (place().asset) go({});
    hearing.open(asset);
    showPrice();
  },
  fail: complain,
  announce,
});

const hearing = new Hearing({ announce, changed: () => showPrice(), why: (reason) => reasonWords(reason) });
const words = new Words({ complain, announce, paid: settleBalance, taken: showPrice });
const account = new Account({ announce, moved, why: (reason) => reasonWords(reason) });
const song = new Song({ complain, announce, show, started: goOn, changed: (track) => (state.track = track) });

function show(view) {
  state.view = view;
  const shown = PARTS[view];
  for (const part of Object.values(PARTS).flat()) $(part).hidden = !shown.includes(part);
  document.body.dataset.view = view;
}

function announce(words) {
  $("said").textContent = words;
}

// Says what went wrong: a sentence, an error of the interface, or a reason that a job or asset gave.
function complain(problem) {
  const alert = $("alert");
  alert.hidden = !problem;
  if (!problem) return;
  // The sentences for reasons come with the first facts, which may still be on their way.
  if (problem.reason && !(problem.reason in state.errors)) state.facts.then(() => problem.reason in state.errors && complain(problem), () => {});
  const words = typeof problem === "string" ? problem : problem.reason ? reasonWords(problem.reason) : problem.message || say("error.unknown");
  alert.replaceChildren(words);
  if (problem.trace && problem.status >= 500) alert.append(el("span", { className: "small" }, ` ${problem.trace}`));
  alert.scrollIntoView({ block: "nearest" });
}

const reasonWords = (reason) => state.errors[reason]?.message ?? say("error.unknown");

// Where one is, kept behind the hash so that a reload or a bookmark comes back to it.
const place = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

function go(to) {
  const hash = new URLSearchParams(to).toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

async function route() {
  state.stop.abort();
  state.stop = new AbortController();
  silence();
  complain(null);
  const { track, asset, public: category } = place();
  try {
    if (category !== undefined) {
      show("public");
      $("public-head").focus({ preventScroll: true });
      await openPublic(category);
    } else if (track) await openTrack(track);
    else {
      show("start");
      if (asset && state.asset?.asset_id !== asset) await take.restore(asset);
    }
  } catch (error) {
    remember(RUNNING, null);
    if (error.status === 404) go({});
    show("start");
    complain(error);
  }
}

// ---- credits

async function loadBalance() {
  state.balance = (await call(getBalance())).balance;
  showPrice();
  account.hear(state.balance);
}

// What was set aside for a job comes back, or goes, a moment after its end.
async function settleBalance() {
  for (let tries = 0; tries < 8; tries++) {
    await loadBalance().catch(() => {});
    if (!state.balance?.held_credits) return;
    await pause(400);
  }
}

function showPrice() {
  const { price, balance, asset } = state;
  const known = price !== null && balance !== null;
  $("purse").hidden = balance === null;
  if (balance) {
    $("purse").textContent = say("purse.credits", { credits: balance.available_credits });
    $("purse").setAttribute("aria-label", say("purse.open", { credits: balance.available_credits }));
  }
  $("price").textContent = known ? say("wish.price", { price, balance: balance.available_credits }) : "";
  const poor = known && balance.available_credits < price;
  // A tune or words are enough; with both the words are sung to the tune.
  const enough = Boolean(asset) || (state.facts !== null && $("lyrics").value.trim() !== "");
  const { pending, refused } = hearing;
  $("make").disabled = !enough || poor || pending || refused;
  $("make-hint").hidden = enough && !poor && !refused;
  $("make-hint").textContent = say(refused ? "wish.refused" : poor ? "wish.poor" : "wish.first_take");
}

// Another person is here than before (`other`), or the same one has more: two accounts have become one.
async function moved(other) {
  if (other) {
    remember(RUNNING, null);
    startAnew();
  }
  // What a merge moves comes within seconds.
  for (let tries = 0; tries < 4; tries++) {
    await Promise.all([loadBalance(), loadTracks()]).catch(() => {});
    await pause(700);
  }
}

// ---- the wish

function wishBody() {
  const form = new FormData($("wish"));
  const words = (name) => form.get(name).trim();
  const tune = state.asset ? { asset_id: state.asset.asset_id } : {};
  const change = state.asset && hearing.change();
  if (change) tune.tune_change = change;
  return { ...tune, style: words("style"), mood: words("mood"), title: words("title"), lyrics: words("lyrics"), voice_gender: words("voice_gender"), duration_s: Number(form.get("duration_s")) };
}

// The same wish keeps its key until it was answered, so that asking twice never makes or costs two songs.
function wishKey(text) {
  const kept = JSON.parse(remembered(WISH) || "null");
  if (kept?.text === text) return kept.key;
  const key = randomId();
  remember(WISH, JSON.stringify({ text, key }));
  return key;
}

async function make(event) {
  event.preventDefault();
  if ($("make").disabled) return;
  $("make").disabled = true;
  complain(null);
  const body = wishBody();
  try {
    const made = await callPatiently(createTrack(body), { "Idempotency-Key": wishKey(JSON.stringify(body)) });
    remember(WISH, null);
    goOn(made);
  } catch (error) {
    complain(error);
    await loadBalance().catch(() => {});
    showPrice();
  }
}

// Follows a song that was just asked for.
function goOn(made) {
  remember(RUNNING, made.track_id);
  location.hash = new URLSearchParams({ track: made.track_id }).toString();
  loadBalance().catch(() => {});
}

// ---- the song

async function openTrack(trackId) {
  const { stop } = state;
  state.track = (await callPatiently(getTrack({ track_id: trackId }))).track;
  if (stop.signal.aborted) return;
  if (state.track.state === "generating") {
    await followJob(stop.signal);
    if (stop.signal.aborted) return;
    state.track = await endedTrack(trackId, stop.signal);
    settleBalance();
    loadTracks().catch(() => {});
  }
  if (stop.signal.aborted) return;
  if (remembered(RUNNING) === trackId) remember(RUNNING, null);
  if (state.track.state === "ready") return song.open(state.track);
  await openFailure();
}

async function followJob(stop) {
  state.stages = new Stages({ listening: Boolean(state.track.asset_id) });
  show("making");
  $("making-head").focus({ preventScroll: true });
  scrollTo({ top: 0, behavior: "instant" });
  $("cancel").disabled = false;
  const lost = (gone) => ($("making-note").textContent = gone ? say("making.lost") : state.stages.words());
  for await (const message of watch(watchJob({ job_id: state.track.job_id }), { stop, lost })) {
    const begun = state.stages.take(message);
    $("making-note").textContent = state.stages.words();
    document.title = `${$("whole").value}% · Cadenza`;
    if (begun) announce(say(`stage.${begun}`));
  }
  document.title = `Cadenza · ${say("studio.tagline")}`;
}

// The track follows its job within the same transaction; a reader elsewhere may be a moment behind.
async function endedTrack(trackId, stop) {
  for (let tries = 0; ; tries++) {
    const { track } = await callPatiently(getTrack({ track_id: trackId }));
    if (track.state !== "generating" || tries > 10 || stop.aborted) return track;
    await pause(300);
  }
}

// ---- what did not become a song

async function openFailure() {
  const [{ job }] = await Promise.all([callPatiently(getJob({ job_id: state.track.job_id })), state.facts.catch(() => {})]);
  state.job = job;
  show("failed");
  showFailure();
  $("failed-head").focus({ preventScroll: true });
  announce($("failed-head").textContent);
}

function showFailure() {
  const cancelled = state.track.state === "cancelled";
  $("failed-head").textContent = say(cancelled ? "failed.cancelled" : "failed.head");
  $("failed-words").textContent = cancelled ? "" : reasonWords(state.job?.error?.reason);
  $("failed-credits").textContent = say("failed.credits", { credits: state.track.cost_credits });
}

async function cancel() {
  $("cancel").disabled = true;
  try {
    await callPatiently(cancelJob({ job_id: state.track.job_id }));
    $("making-note").textContent = say("making.stopping");
  } catch (error) {
    $("cancel").disabled = false;
    if (!(error instanceof ApiError && error.symbol === "JOB_NOT_CANCELLABLE")) complain(error);
  }
}

function startAnew() {
  take.reset();
  state.track = null;
  go({});
  route();
  $("take-head").scrollIntoView({ block: "nearest" });
}

// The tune is on the server still: the same one again, with another wish if one likes.
function tryAgain() {
  const { asset_id: asset } = state.track;
  go(asset ? { asset } : {});
  route();
}

// ---- beginning

async function loadFacts() {
  const [client, prices] = await Promise.all([loadLimits(), call(listPrices()), loadBalance()]);
  state.errors = client.errors;
  hearing.words();
  take.limits = client.upload;
  state.price = prices.prices.find((each) => each.kind === "music")?.amount_credits ?? null;
  song.tune.price = state.price;
  song.tune.words();
  words.price = prices.prices.find((each) => each.kind === "lyrics")?.amount_credits ?? null;
  take.words();
  words.show();
  showPrice();
}

whenLocaleChanges(async () => {
  state.errors = (await loadLimits().catch(() => ({ errors: state.errors }))).errors;
  take.words();
  hearing.words();
  words.show();
  song.tune.words();
  account.show();
  showPrice();
  showTracks();
  showPublic();
  if (state.view === "making") state.stages.show();
  if (state.view === "song") song.show();
  if (state.view === "failed") showFailure();
});

whenPersonChanges(() => moved(true));

$("wish").addEventListener("submit", make);
$("lyrics").addEventListener("input", showPrice);
$("cancel").addEventListener("click", cancel);
$("failed-again").addEventListener("click", tryAgain);
$("failed-new").addEventListener("click", startAnew);
$("song-new").addEventListener("click", startAnew);
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", () => state.view === "song" && song.refresh().catch(() => {}));

beginDock();
beginPublic({ complain });
beginTracks({ complain, announce, gone: (id) => id === state.track?.track_id && startAnew() });
if (!location.hash && remembered(RUNNING)) go({ track: remembered(RUNNING) });
state.facts = loadFacts();
state.facts.catch(complain);
loadTracks().catch(() => {});
await route();
document.body.dataset.ready = "true";
