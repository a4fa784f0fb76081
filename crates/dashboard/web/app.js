"use strict";

// Draws the answer of /api/dashboards/NAME, which has all values evaluated.

const COLOURS = ["#1f77b4", "#d95f02", "#2ca02c", "#d62728", "#9467bd", "#8c6d31", "#e377c2", "#6b7280", "#0aa5b5", "#b5860a"];
const MOST_ROWS = 500;
const byId = (id) => document.getElementById(id);
const drawn = new Map();
let current = null;
let timer = null;
let asked = 0;
let shown = null;

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function number(value) {
  if (value == null) return "–";
  const size = Math.abs(value);
  return value.toLocaleString("en", size >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 });
}

function instant(seconds, withDay) {
  const text = new Date(seconds * 1000).toISOString();
  return withDay ? `${text.slice(0, 10)} ${text.slice(11, 16)}` : text.slice(11, 16);
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (line, index) => line.color ?? COLOURS[index % COLOURS.length];

// The times of a line and its gaps: periods without data are not bridged.
function timesAndGaps(line) {
  const ends = line.times.filter((time, index) => line.times[index + 1] > time + line.period).map((time) => time + line.period);
  return [...line.times, ...ends];
}

// The lines as columns over all their times, for uPlot and the table.
function columns(lines, timesOf = (line) => line.times) {
  const times = [...new Set(lines.flatMap(timesOf))].sort((a, b) => a - b);
  const place = new Map(times.map((time, index) => [time, index]));
  const values = lines.map((line) => {
    const column = new Array(times.length).fill(null);
    line.times.forEach((time, index) => { column[place.get(time)] = line.values[index]; });
    return column;
  });
  return { times, values };
}

function summary(line) {
  if (!line.values.length) return `${line.label}: no data.`;
  const last = line.times.length - 1;
  const least = line.values.reduce((a, b) => Math.min(a, b));
  const most = line.values.reduce((a, b) => Math.max(a, b));
  return `${line.label}: ${number(line.values[last])} at ${instant(line.times[last], true)}, between ${number(least)} and ${number(most)}.`;
}

function table(title, lines) {
  const { times, values } = columns(lines);
  const head = make("tr", {}, make("th", { scope: "col", textContent: "Time (UTC)" }),
    ...lines.map((line) => make("th", { scope: "col", textContent: line.label })));
  const first = Math.max(0, times.length - MOST_ROWS);
  const rows = times.slice(first).map((time, row) => make("tr", {},
    make("th", { scope: "row", textContent: instant(time, true) }),
    ...values.map((column) => make("td", { textContent: number(column[first + row]) }))));
  const note = first ? `, the last ${MOST_ROWS} of ${times.length} times` : "";
  return make("table", {}, make("caption", { textContent: title + note }), make("thead", {}, head), make("tbody", {}, ...rows.reverse()));
}

// ---- charts

function stacked(values) {
  return values.map((column, index) => column.map((_, row) => {
    const below = values.slice(0, index + 1).map((each) => each[row]);
    return column[row] == null ? null : below.reduce((sum, value) => sum + (value ?? 0), 0);
  }));
}

function scale(axis) {
  return { range: (_, low, high) => {
    const min = axis?.min ?? Math.min(low ?? 0, 0);
    let max = axis?.max ?? (high == null ? 1 : high + Math.abs(high - min) * 0.05);
    if (max <= min) max = min + 1;
    return [min, max];
  } };
}

function plotOptions(widget, lines, size) {
  const right = lines.some((line) => line.right);
  const axis = { stroke: style("--soft"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line"), width: 1 }, font: "12px system-ui" };
  const tick = (value) => (Math.abs(value) < 100000 ? number(value) : value.toLocaleString("en", { notation: "compact" }));
  const values = (_, ticks) => ticks.map(tick);
  const side = (at) => ({ ...axis, values, size: 62, label: widget.yAxis?.[at]?.label, labelSize: 18, labelFont: "12px system-ui" });
  return {
    width: size.width, height: size.height,
    tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
    cursor: { y: false, points: { size: 6 } },
    scales: { x: { time: true, range: () => [widget.start, widget.end] }, y: scale(widget.yAxis?.left), right: scale(widget.yAxis?.right) },
    axes: [
      { ...axis, values: [[86400, "{MM}-{DD}"], [3600, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}"], [60, "{HH}:{mm}"], [1, "{HH}:{mm}:{ss}"]].map((row) => [row[0], row[1], row[2] ?? null, null, row[2] ?? null, null, null, null, 1]) },
      side("left"),
      ...(right ? [{ ...side("right"), scale: "right", side: 1, grid: { show: false } }] : []),
    ],
    series: [
      { label: "Time (UTC)", value: (plot, time) => instant(time ?? plot.data[0].at(-1), true) },
      ...lines.map((line, index) => ({
        label: line.label, scale: line.right ? "right" : "y", width: 2, stroke: colour(line, index), dash: line.dash,
        // Without a pointer over the chart, the legend has the latest values.
        value: (plot, value, series, row) => number(row == null ? plot.data[series].findLast((each) => each != null) : value),
        points: { show: line.times.length < 120 && !line.dash, size: 5, fill: colour(line, index) },
        spanGaps: Boolean(line.dash),
        fill: widget.stacked && !line.dash ? `${colour(line, index)}55` : undefined,
      })),
    ],
  };
}

// The lines of a chart, and those at fixed values.
function allLines(widget) {
  const fixed = (widget.annotations ?? []).map((each) => ({
    label: each.label || `${each.value}`, color: each.color ?? style("--bad"), right: each.yAxis === "right", dash: [6, 4],
    times: [widget.start, widget.end], values: [each.value, each.value],
  }));
  return [...widget.lines, ...fixed];
}

function draw(box, widget) {
  const lines = allLines(widget);
  const { times, values } = columns(lines, timesAndGaps);
  const count = widget.lines.length;
  const data = [times, ...(widget.stacked ? [...stacked(values.slice(0, count)), ...values.slice(count)] : values)];
  const shape = JSON.stringify([lines.map((line) => [line.label, line.right, line.color, line.times.length < 120]), widget.yAxis, widget.stacked, document.documentElement.dataset.theme, matchMedia("(prefers-color-scheme: dark)").matches]);
  if (box.plot && box.shape === shape) {
    // The time axis refers to the widget that it was created with.
    Object.assign(box.made, { start: widget.start, end: widget.end });
    box.plot.setData(data);
    requestAnimationFrame(() => fit(box));
    return;
  }
  box.plot?.destroy();
  const room = box.body.getBoundingClientRect();
  box.made = { ...widget };
  box.plot = new uPlot(plotOptions(box.made, lines, { width: room.width, height: Math.max(80, room.height - 30) }), data, box.body);
  box.shape = shape;
  requestAnimationFrame(() => fit(box));
}

// The legend takes the rows that its values need; the chart gets the rest.
function fit(box) {
  if (!box.plot) return;
  const room = box.body.getBoundingClientRect();
  const legend = box.plot.root.querySelector(".u-legend").getBoundingClientRect().height;
  const height = Math.max(80, Math.floor(room.height - legend - 2));
  if (height !== box.plot.height) box.plot.setSize({ width: room.width, height });
}

// ---- widgets

function showData(box, widget) {
  const view = make("div", { className: "data", tabIndex: 0 });
  view.setAttribute("role", "region");
  view.setAttribute("aria-label", `Data of ${widget.title}`);
  view.append(table(widget.title, widget.lines ?? widget.numbers));
  return view;
}

function sparkline(line, stroke) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const low = Math.min(...line.values, 0);
  const span = Math.max(...line.values) - low || 1;
  const [from, to] = [line.times[0], line.times.at(-1)];
  const points = line.times.map((time, index) => `${((time - from) / (to - from || 1)) * 100} ${29 - ((line.values[index] - low) / span) * 28}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", `M${points.join("L")}`);
  path.setAttribute("stroke", stroke);
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

function numbers(widget) {
  return make("dl", { className: "numbers" }, ...widget.numbers.map((line, index) => {
    const marker = make("span", { className: "marker" });
    marker.style.background = colour(line, index);
    const value = make("dd", { textContent: number(line.values.at(-1)) });
    const parts = [make("dt", {}, marker, line.label), value];
    if (widget.sparkline && line.values.length > 1) value.append(sparkline(line, colour(line, index)));
    return make("div", {}, ...parts);
  }));
}

function alarms(widget) {
  const sign = { ok: "✓", alarm: "✗" };
  return make("ul", { className: "alarms" }, ...widget.alarms.map((alarm) => make("li",
    { className: alarm.state, title: alarm.description },
    make("b", { textContent: `${sign[alarm.state] ?? "·"} ${alarm.state}` }), ` ${alarm.name}`)));
}

function create(widget, index) {
  const section = make("section", { className: `widget kind-${widget.kind}` });
  section.style.gridColumn = `${widget.x + 1} / span ${widget.width}`;
  section.style.gridRow = `${widget.y + 1} / span ${widget.height}`;
  const box = { section, asTable: false };
  if (widget.kind === "text") return box;
  const title = make("h2", { id: `widget-${index}`, textContent: widget.title });
  box.toggle = make("button", { type: "button", textContent: "Data", hidden: true });
  box.toggle.setAttribute("aria-pressed", "false");
  box.toggle.setAttribute("aria-label", `${widget.title}: show the data`);
  box.toggle.addEventListener("click", () => {
    box.asTable = !box.asTable;
    box.toggle.setAttribute("aria-pressed", String(box.asTable));
    update(box, box.widget);
  });
  section.setAttribute("aria-labelledby", title.id);
  box.said = make("p", { className: "hidden" });
  box.body = make("div", { className: "plot" });
  section.append(make("div", { className: "title" }, title, box.toggle), box.said, box.body);
  return box;
}

function update(box, widget) {
  box.widget = widget;
  box.section.className = `widget kind-${widget.kind}`;
  if (widget.kind === "text") {
    // The server has converted Markdown to HTML and escaped all markup in it.
    if (box.html !== widget.html) box.section.innerHTML = box.html = widget.html;
    return;
  }
  const lines = widget.lines ?? widget.numbers;
  box.toggle.hidden = !lines;
  box.said.textContent = lines ? lines.map(summary).join(" ") : "";
  const isChart = widget.kind === "chart" && !box.asTable;
  if (!isChart) {
    box.plot?.destroy();
    box.plot = null;
  }
  if (isChart) {
    if (!box.plot) box.body.replaceChildren();
    box.body.setAttribute("aria-hidden", "true");
    draw(box, widget);
    return;
  }
  box.body.removeAttribute("aria-hidden");
  let view;
  if (lines && box.asTable) view = showData(box, widget);
  else if (widget.kind === "numbers") view = numbers(widget);
  else if (widget.kind === "alarms") view = alarms(widget);
  else view = make("p", { className: `message${widget.failed ? " failed" : ""}`, textContent: widget.message });
  const scrolled = box.body.querySelector(".data")?.scrollTop;
  const focused = box.body.contains(document.activeElement);
  box.body.replaceChildren(view);
  if (scrolled) view.scrollTop = scrolled;
  if (focused) view.focus();
}

function show(dashboard) {
  const main = byId("widgets");
  if (shown !== dashboard.name || drawn.size !== dashboard.widgets.length) {
    drawn.forEach((box) => box.plot?.destroy());
    drawn.clear();
    main.replaceChildren();
    shown = dashboard.name;
    // In reading order from the top left, not in the order of the body.
    const order = dashboard.widgets.map((widget, index) => [widget, index]).sort(([a], [b]) => a.y - b.y || a.x - b.x);
    for (const [widget, index] of order) {
      const box = create(widget, index);
      drawn.set(index, box);
      main.append(box.section);
    }
  }
  dashboard.widgets.forEach((widget, index) => update(drawn.get(index), widget));
  main.setAttribute("aria-busy", "false");
}

// ---- controls

function status(text, failed) {
  byId("status").textContent = text;
  byId("status").classList.toggle("failed", failed);
}

async function get(path) {
  const response = await fetch(path);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message);
  return answer;
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++asked;
  const range = byId("range").value;
  try {
    const dashboard = await get(`api/dashboards/${encodeURIComponent(current)}${range ? `?start=${encodeURIComponent(range)}` : ""}`);
    if (mine !== asked) return;
    show(dashboard);
    const every = byId("refresh").value;
    status(`${instant(dashboard.start, true)} to ${instant(dashboard.end, true)} UTC, ${every === "0" ? "refreshed by hand" : "refreshing by itself"}`, false);
  } catch (error) {
    if (mine !== asked) return;
    status(`Not refreshed: ${error.message}. Is the warehouse still up?`, true);
  }
  const seconds = Number(byId("refresh").value);
  if (seconds) timer = setTimeout(refresh, seconds * 1000);
}

function choose(dashboards) {
  const wanted = decodeURIComponent(location.hash.slice(1));
  const chosen = dashboards.find((each) => each.name === wanted) ?? dashboards[0];
  current = chosen.name;
  document.title = `${chosen.title} – Dataless`;
  byId("dashboards").replaceChildren(...dashboards.map((each) => {
    const link = make("a", { href: `#${encodeURIComponent(each.name)}`, textContent: each.title });
    if (each === chosen) link.setAttribute("aria-current", "page");
    return make("li", {}, link);
  }));
  refresh();
}

async function start() {
  const theme = byId("theme");
  theme.value = localStorage.getItem("theme") ?? "";
  const paint = () => {
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
    localStorage.setItem("theme", theme.value);
  };
  paint();
  let dashboards;
  try {
    dashboards = await get("api/dashboards");
  } catch (error) {
    status(`The dashboards cannot be read: ${error.message}`, true);
    setTimeout(start, 5000);
    return;
  }
  const again = () => drawn.forEach((box) => box.widget && update(box, box.widget));
  theme.onchange = () => { paint(); again(); };
  matchMedia("(prefers-color-scheme: dark)").onchange = again;
  byId("controls").onsubmit = (event) => event.preventDefault();
  byId("range").onchange = byId("refresh").onchange = byId("now").onclick = refresh;
  window.onhashchange = () => choose(dashboards);
  let resized = null;
  window.onresize = () => {
    clearTimeout(resized);
    resized = setTimeout(() => { drawn.forEach((box) => { box.shape = null; }); again(); }, 150);
  };
  choose(dashboards);
}

start();
