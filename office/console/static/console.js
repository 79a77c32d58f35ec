/* What makes the pages live: one event stream, ages that count, and honesty about a stream that is lost. */
"use strict";
(() => {
  const STALE_MS = 3800; // the office beats every 1.5 s
  const SITE_MS = 15000; // a site says something every 10 s
  const EVERY = 6; // beats between two looks at what only time changes

  const body = document.body;
  const told = body.dataset;
  const byId = (id) => document.getElementById(id);
  if (!told.stream) return;

  let last = Number(told.last || 0); // the newest transition that this page has
  let offset = Number(told.now) - Date.now(); // the office's clock against this one
  let beatAt = performance.now(); // when the last beat came, on a clock that nobody sets
  let beatTime = Number(told.now);
  let beats = 0;
  let trouble = told.trouble; // what the office itself lacks: "no-broker", "no-store", or nothing
  let since = Number(told.since || 0); // when that began
  let cut = false;
  let failing = false; // the office beats, but does not give the page
  let source = null;
  let fresh = 0; // new alarms that the page does not show yet
  let forced = false;
  const announced = new Map(); // occurrence -> priority, to be read out once its row is there

  const now = () => Date.now() + offset;
  const fill = (template, fields) => template.replace(/\{(\w+)\}/g, (_, name) => fields[name] ?? "");
  function clock(ms) {
    const at = new Date(ms);
    const two = (n) => String(n).padStart(2, "0");
    const day = at.toDateString() === new Date(now()).toDateString() ? "" : `${two(at.getMonth() + 1)}-${two(at.getDate())} `;
    return day + at.toLocaleTimeString("en-GB", { hour12: false });
  }

  function span(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s >= 172800) return fill(told.spanD, { d: Math.floor(s / 86400) });
    if (s >= 3600) return fill(told.spanH, { h: Math.floor(s / 3600), m: Math.floor((s % 3600) / 60) });
    if (s >= 60) return fill(told.spanMin, { m: Math.floor(s / 60), s: s % 60 });
    return fill(told.spanS, { s });
  }

  function say(name) {
    body.dispatchEvent(new CustomEvent(name));
  }

  const coalesced = new Map();
  function soon(name) {
    if (coalesced.has(name)) return;
    coalesced.set(name, setTimeout(() => { coalesced.delete(name); say(name); }, 150));
  }

  // the stream

  function open() {
    if (source) source.close();
    source = new EventSource(`${told.stream}?after=${last}`);
    source.addEventListener("beat", (message) => onBeat(JSON.parse(message.data)));
    source.addEventListener("alarm", (message) => onAlarm(JSON.parse(message.data)));
    source.addEventListener("changed", () => soon("console-alarms"));
    source.addEventListener("reload", () => location.reload());
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(again, 3000);
    });
  }

  async function again() {
    try {
      const answer = await fetch("/sites", { method: "HEAD", redirect: "manual" });
      if (answer.type === "opaqueredirect") {
        location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
        return;
      }
    } catch { /* the office is away: try again */ }
    open();
  }

  function onBeat(beat) {
    offset = beat.now - Date.now();
    beatAt = performance.now();
    beatTime = beat.now;
    trouble = beat.store ? (beat.broker ? "" : "no-broker") : "no-store";
    since = beat.since || 0;
    beats += 1;
    const waiting = byId("waiting");
    if (waiting) { waiting.textContent = beat.waiting || ""; waiting.hidden = !beat.waiting; }
    for (const site of beat.sites) {
      for (const heard of document.querySelectorAll(`[data-heard="${CSS.escape(site)}"]`)) {
        heard.dataset.at = beat.now;
        heard.querySelector(".age").dataset.at = beat.now;
      }
    }
    const live = byId("live");
    const mine = live && live.dataset.site;
    if (mine && (beat.sites.includes(mine) || beats % EVERY === 0)) say("console-values");
    if (beats % EVERY === 0) { say("console-sites"); say("console-trend"); }
    if (beats % EVERY === 0 && !mine) say("console-alarms");
    judge();
  }

  function onAlarm(alarm) {
    last = Math.max(last, alarm.id);
    if (alarm.cause === "raise" || alarm.cause === "reannunciate") {
      announced.set(alarm.occurrence, alarm.priority);
      fresh += 1;
    }
    soon("console-alarms");
    soon("console-sites");
    setTimeout(readOut, 1500);
  }

  // new rows, read out; P1 at once, the others when the reader has finished

  function readOut() {
    for (const [occurrence, priority] of announced) {
      const row = document.querySelector(`tr[data-occurrence="${CSS.escape(occurrence)}"]`);
      const what = row ? ["c-severity", "c-site", "c-device", "c-message"]
        .map((name) => row.querySelector(`.${name}`)?.textContent.trim()).filter(Boolean).join(", ") : occurrence;
      byId(priority === "P1" ? "assertive" : "polite").textContent = fill(told.announce, { what });
      announced.delete(occurrence);
    }
  }

  // honesty

  function judge() {
    const silent = performance.now() - beatAt > STALE_MS;
    const lost = silent || Boolean(trouble) || failing;
    const banner = byId("banner");
    const why = silent ? told.cut : trouble === "no-store" || failing ? told.noStore : told.noBroker;
    if (lost) {
      const words = fill(why, { time: clock(silent || !since ? beatTime : since) });
      if (!cut || banner.dataset.why !== why) { banner.textContent = words; banner.dataset.why = why; }
    } else if (cut) {
      for (const name of ["console-alarms", "console-sites", "console-values", "console-trend"]) say(name);
    }
    banner.hidden = !lost;
    body.classList.toggle("cut", lost);
    for (const button of document.querySelectorAll(".danger button")) {
      button.disabled = lost || button.dataset.over === "yes"; // no command on what is not seen
    }
    const link = byId("link");
    link.className = `link ${lost ? "lost" : beats ? "on" : "waiting"}`;
    const words = byId("link-words");
    if (lost || beats) words.textContent = lost ? words.dataset.lost : words.dataset.live;
    cut = lost;
  }

  function tick() {
    const at = now();
    for (const age of document.querySelectorAll(".age[data-at]")) {
      const words = span(at - Number(age.dataset.at));
      if (age.textContent !== words) age.textContent = words;
    }
    for (const heard of document.querySelectorAll(".heard[data-at]")) {
      const stale = at - Number(heard.dataset.at) > SITE_MS;
      if (stale && heard.classList.contains("live")) {
        heard.classList.replace("live", "silent");
        heard.closest(".tile")?.classList.replace("live", "stale");
      }
    }
    for (const count of document.querySelectorAll(".countdown[data-until]")) {
      const left = Math.max(0, Math.ceil((Number(count.dataset.until) - at) / 1000));
      if (count.textContent !== String(left)) count.textContent = left;
      const button = document.querySelector('#act[data-state="awaiting-confirmation"] .danger button');
      if (button && !left) button.dataset.over = "yes";
    }
    for (const left of document.querySelectorAll(".left[data-until]")) {
      const words = span(Number(left.dataset.until) - at);
      if (left.textContent !== words) left.textContent = words;
    }
    judge();
  }

  // what htmx may do

  // A note that is being written is never replaced, not even by what was asked for before it was begun.
  // Nor is a filter that is being chosen, for a moment; but no list of alarms waits for anybody.
  let touched = -Infinity;
  for (const kind of ["focusin", "input"]) {
    document.addEventListener(kind, (event) => { if (event.target.closest(".filter")) touched = performance.now(); });
  }
  const choosing = (elt) => elt.id === "live" && !elt.dataset.list && performance.now() - touched < 10000 &&
    elt.querySelector(".filter")?.contains(document.activeElement);
  const begun = () => Boolean(byId("note")?.value || document.querySelector("#act details[open]"));
  const writing = (elt) => choosing(elt) || (elt.id === "act" && (elt.contains(document.activeElement) || begun()));

  body.addEventListener("htmx:beforeSwap", (event) => {
    if (writing(event.detail.requestConfig.elt)) event.detail.shouldSwap = false;
  });
  body.addEventListener("htmx:beforeRequest", (event) => {
    const target = event.detail.elt;
    if (writing(target)) event.preventDefault();
    if (target.id === "live" && target.dataset.list && !forced && scrollY > 200) {
      event.preventDefault(); // no row moves under somebody who reads further down
      if (fresh) {
        const pill = byId("pill");
        pill.textContent = fill(told.new, { n: fresh });
        pill.hidden = false;
      }
    }
  });
  body.addEventListener("htmx:afterRequest", (event) => {
    const { requestConfig, successful, xhr } = event.detail;
    const elt = requestConfig.elt; // the one that asked: by now it may have been replaced
    if (elt.id === "live") { failing = !successful; judge(); }
    if (elt.tagName !== "FORM" || successful) return;
    const problem = document.createElement("p"); // an acknowledgement that did not work must not look as if it had
    problem.className = "problem";
    problem.setAttribute("role", "alert");
    problem.textContent = fill(told.failed, { what: xhr?.status || "–" });
    elt.querySelector(".problem")?.remove();
    elt.prepend(problem);
  });
  body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "live") fresh = 0;
    const [state, act] = [byId("live")?.dataset.state, byId("act")?.dataset.state];
    if (state && act && state !== act && !begun()) location.reload(); // a command has moved on: so has what may be done
  });
  body.addEventListener("htmx:afterSettle", (event) => {
    tick();
    readOut();
    if (event.detail.elt.id === "drawer") {
      const drawer = byId("drawer");
      drawer.querySelector("h2")?.setAttribute("tabindex", "-1");
      if (!byId("pending")) drawer.querySelector("h2")?.focus({ preventScroll: true });
      for (const row of document.querySelectorAll("tr[data-occurrence]")) {
        row.classList.toggle("open", location.pathname === `/alarms/${row.dataset.occurrence}` ||
          decodeURIComponent(location.pathname) === `/alarms/${row.dataset.occurrence}`);
      }
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.id !== "pill") return;
    scrollTo({ top: 0 });
    forced = true;
    say("console-alarms");
    forced = false;
  });
  document.addEventListener("keydown", (event) => {
    const close = document.querySelector("#drawer .close");
    if (event.key === "Escape" && close && !begun()) close.click();
  });
  document.addEventListener("visibilitychange", () => {
    // A browser keeps six connections to one office: tabs that nobody sees give theirs back.
    if (document.hidden) { source?.close(); source = null; } else if (!source) open();
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  open();
  setInterval(tick, 500);
})();
