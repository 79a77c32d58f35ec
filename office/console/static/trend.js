/* One point over time: envelope and last value of each step, holes and bad values shaded, alarms as a strip on top. */
"use strict";
(() => {
  const box = document.getElementById("trend");
  if (!box) return;
  const told = box.dataset;
  const SPANS = { "5m": 300, "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800 };
  const COLOURS = { P1: "#B3122B", P2: "#F59E0B", P3: "#C9A800", P4: "#0B6FA4" };
  const words = JSON.parse(told.words);
  const seconds = SPANS[told.span];
  const inZone = (options) => new Intl.DateTimeFormat("en-GB", { hour12: false, timeZone: told.zone, ...options });
  const hours = inZone({ hour: "2-digit", minute: "2-digit" });
  const days = inZone({ month: "2-digit", day: "2-digit" });
  const exact = inZone({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const beside = seconds > 172800 ? days : seconds < 3600 ? exact : hours;
  let chart = null;
  let answer = null;

  const readout = document.createElement("p");
  readout.className = "readout";
  readout.textContent = "\u00a0";
  box.after(readout);

  function hatch(context, colour, back) {
    const tile = document.createElement("canvas");
    const size = 8 * devicePixelRatio;
    tile.width = tile.height = size;
    const pen = tile.getContext("2d");
    pen.fillStyle = back;
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = colour;
    pen.lineWidth = devicePixelRatio;
    pen.beginPath();
    pen.moveTo(0, size); pen.lineTo(size, 0);
    pen.moveTo(-1, 1); pen.lineTo(1, -1);
    pen.moveTo(size - 1, size + 1); pen.lineTo(size + 1, size - 1);
    pen.stroke();
    return context.createPattern(tile, "repeat");
  }

  function shade(u, marks, style, top, height) {
    u.ctx.fillStyle = style;
    for (const mark of marks) {
      const from = Math.max(u.valToPos(mark.from, "x", true), u.bbox.left);
      const to = Math.min(u.valToPos(mark.to ?? u.scales.x.max, "x", true), u.bbox.left + u.bbox.width);
      if (to > from) u.ctx.fillRect(from, top, Math.max(to - from, devicePixelRatio), height);
    }
  }

  function under(u) {
    const { top, height } = u.bbox;
    u.ctx.save();
    shade(u, answer.holes, hatch(u.ctx, "#8C959F", "#DDE1E5"), top, height);
    shade(u, answer.bad, hatch(u.ctx, "#A06A6A", "#F3E3E3"), top, height);
    u.ctx.restore();
  }

  function over(u) {
    const height = 5 * devicePixelRatio;
    u.ctx.save();
    for (const alarm of answer.alarms) { // a lane for each priority: none hides another
      shade(u, [alarm], COLOURS[alarm.priority], u.bbox.top + (Number(alarm.priority[1]) - 1) * 1.3 * height, height);
    }
    u.ctx.restore();
  }

  function room(u, labels) { // for the longest label beside the axis, but never more than a third of the picture
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const longest = Math.max(0, ...(labels ?? []).map((label) => pen.measureText(label ?? "").width));
    return Math.min(Math.max(longest + 24, 60), box.clientWidth / 3);
  }

  const shown = (value) => value === null || value === undefined ? "–" :
    words.length ? words[Math.round(value)] ?? value : String(Number(value.toPrecision(6)));

  function pointed(u) {
    const place = u.cursor.idx;
    if (place === null || place === undefined) { readout.textContent = "\u00a0"; return; }
    const steps = answer.steps;
    readout.textContent = document.body.dataset.read
      .replace("{time}", exact.format(steps.at[place] * 1000))
      .replace("{what}", steps.low[place] === null ? "–" : steps.low[place] === steps.high[place] ? shown(steps.last[place]) :
        `${shown(steps.low[place])} … ${shown(steps.high[place])}, ${shown(steps.last[place])}`) + (told.unit ? ` ${told.unit}` : "");
  }

  function options() {
    const line = getComputedStyle(document.body).color;
    const stepped = uPlot.paths.stepped({ align: 1 });
    const places = words.map((_, place) => place);
    return {
      width: box.clientWidth,
      height: Math.max(220, Math.min(360, innerHeight * 0.45)),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), told.zone),
      scales: {
        x: { range: () => [answer.start, answer.end] },
        y: words.length ? { range: [-0.3, words.length - 0.7] } : {},
      },
      axes: [
        { stroke: line, space: beside === exact ? 90 : 60, grid: { stroke: "#E3E6E9", width: 1 }, values: (_, at) => at.map((one) => beside.format(one * 1000)) },
        words.length
          ? { stroke: line, grid: { stroke: "#E3E6E9", width: 1 }, size: room, splits: () => places, values: (_, at) => at.map((one) => words[one] ?? "") }
          : { stroke: line, grid: { stroke: "#E3E6E9", width: 1 }, size: room },
      ],
      series: [
        {},
        { stroke: "transparent", paths: stepped, points: { show: false } },
        { stroke: "transparent", paths: stepped, points: { show: false } },
        { stroke: "#0B4F7A", width: 2, paths: stepped, points: { show: false } },
      ],
      bands: [{ series: [2, 1], fill: "rgba(91, 124, 153, 0.35)" }],
      hooks: { drawClear: [under], draw: [over], setCursor: [pointed] },
    };
  }

  async function load() {
    const end = new Date();
    const start = new Date(end - seconds * 1000);
    const address = `${told.url}?from=${encodeURIComponent(start.toISOString())}&to=${encodeURIComponent(end.toISOString())}`;
    let got;
    try {
      const reply = await fetch(address);
      if (!reply.ok) return;
      got = await reply.json();
    } catch { return; } // the banner says that the office is away
    answer = { ...got, start: start / 1000, end: end / 1000 };
    const data = [got.steps.at, got.steps.low, got.steps.high, got.steps.last];
    if (chart) chart.setData(data); else chart = new uPlot(options(), data, box);
    box.dataset.ready = "yes";
  }

  addEventListener("resize", () => chart?.setSize({ width: box.clientWidth, height: chart.height }));
  document.body.addEventListener("console-trend", load);
  load();
})();
