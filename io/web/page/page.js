// The page: what is shown, and how the controls change it.

const $ = (id) => document.getElementById(id);
const darkSystem = matchMedia("(prefers-color-scheme: dark)");

let surfaces = []; // {name, axes, metrics, paths, densities}
const state = {
  log: null, // null until somebody chooses: then whatever suits the metric
  mark: null, // {x, y}
  section: null, // two corners {x, y}
  drawing: false,
};
let stage = null; // of planes; lines need none

/** inks are the theme's colours, as [r, g, b]. */
function inks() {
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) => [1, 3, 5].map((i) => parseInt(style.getPropertyValue("--" + name).trim().slice(i, i + 2), 16));
  return Object.fromEntries(["ground", "floor", "grid", "faint", "soft", "strong", "first", "second"].map((name) => [name, rgb(name)]));
}

function rgbText(colour) { return `rgb(${colour.join(",")})`; }

const chartInk = () => Object.fromEntries(Object.entries(inks()).map(([name, colour]) => [name, rgbText(colour)]));

/** load takes in surfaces, planes only or lines only, and keeps what was chosen as far as it is still there. */
function load(data) {
  surfaces = data.surfaces.map((s) => ({
    ...s,
    metrics: s.metrics.map((m) => new Metric(m, data.statusNames)),
    paths: s.paths.map((p) => ({ ...p, points: zip(floatsOf(p.x), floatsOf(p.y)) })),
    densities: (s.densities || []).map((d) => ({ x: d.x, y: d.y, nodes: floatsOf(d.nodes), weights: floatsOf(d.weights) })),
  }));
  const names = surfaces.map((s, k) => ({ value: String(k), text: s.name }));
  setOptions($("left"), names);
  setOptions($("right"), [{ value: "", text: "nothing" }, ...names], names.length > 1 ? "1" : "");
  $("which").hidden = surfaces.length < 2 || isLine();
  $("path-label").hidden = !surfaces.some((s) => s.paths.length > 0);
  for (const part of document.querySelectorAll(".planes")) part.hidden = isLine();
  $("stage").hidden = $("overlay").hidden = isLine();
  $("line").hidden = !isLine();
  const first = !isLine() && !stage;
  if (first && !makeStage()) return;
  $("controls").hidden = $("save").disabled = false;
  rebuild();
  if (first) stage.reset();
}

/** makeStage reports whether this browser can draw surfaces. */
function makeStage() {
  try {
    stage = new Stage($("stage"), drawOverlay);
  } catch {
    say("This browser has no WebGL to draw with: lsrun plot draws surfaces as pictures");
    return false;
  }
  listenToStage();
  return true;
}

function zip(x, y) { return Array.from(x, (v, k) => ({ x: v, y: y[k] })); }

/** setOptions fills a select; its value stays where it can. */
function setOptions(select, options, first = options[0]?.value) {
  const before = select.options.length > 0 ? select.value : first;
  select.replaceChildren(...options.map(({ value, text }) => new Option(text, value)));
  select.value = options.some((o) => o.value === before) ? before : first;
}

/** isLine says whether there are curves to draw, not surfaces. */
function isLine() { return surfaces.length > 0 && surfaces[0].metrics.every((m) => !m.y); }

function shown() {
  const chosen = isLine() ? surfaces.map((_, k) => String(k)) : [$("left").value, $("right").value];
  return [...new Set(chosen)].filter((value) => value !== "").map((value) => surfaces[value]).filter(Boolean);
}

/** havingMetric are the surfaces shown that have the chosen metric, with it. */
function havingMetric() {
  const name = $("metric").value;
  return shown().map((surface) => ({ surface, metric: surface.metrics.find((m) => m.name === name) })).filter((s) => s.metric);
}

/** rebuild makes everything anew that depends on data, metric, scale or theme. */
function rebuild() {
  const dark = $("theme").value === "dark" || ($("theme").value === "auto" && darkSystem.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const all = shown();
  const metrics = new Map(all.flatMap((s) => s.metrics.map((m) => [m.name, m.title])));
  setOptions($("metric"), [...metrics].map(([value, text]) => ({ value, text })), metrics.has("train_loss") ? "train_loss" : undefined);
  const having = havingMetric();
  $("log").checked = state.log ?? having.some(({ metric }) => suitsLog(metric));
  $("common-label").hidden = having.length < 2;
  $("caption").textContent = having.filter(({ metric }) => metric.caption)
    .map(({ surface, metric }) => (having.length > 1 ? surface.name + ": " : "") + metric.caption).join("\n");
  const lacking = all.filter((s) => !having.some((h) => h.surface === s)).map((s) => s.name);
  say(lacking.length > 0 ? `${lacking.join(", ")}: no ${metrics.get($("metric").value)}` : "");
  if (isLine()) drawLine(having);
  else if (stage) showPlanes(having);
}

/** suitsLog is true of positive losses that span two decades. */
function suitsLog(metric) {
  const values = metric.finite(false);
  return metric.name.endsWith("_loss") && values.length > 0 && values[0] > 0 && values[values.length - 1] >= 100 * values[0];
}

/** scaleOf spans metrics up to the clip height, which the control counts in percent of the points under it. */
function scaleOf(metrics) {
  const log = $("log").checked, limits = metrics[0].limits;
  const values = Float64Array.from(metrics.flatMap((m) => [...m.finite(log)])).sort();
  if (values.length === 0) return new Scale(log ? 1 : 0, log ? 10 : 1, log);
  const part = $("clip").value / 100;
  let hi = values[Math.round(part * (values.length - 1))];
  if (limits) hi = Math.min(hi, limits[1]);
  const lo = limits && !log ? limits[0] : values[0];
  return new Scale(lo, Math.max(hi, lo), log);
}

function showPlanes(having) {
  const common = $("common").checked;
  const table = colourTable($("colours").value), ink = inks();
  stage.setPanes(having.length);
  having.forEach(({ surface, metric }, k) => {
    const scale = scaleOf(common ? having.map((h) => h.metric) : [metric]);
    const levels = scale.levels(Number($("lines").value));
    stage.panes[k].show(metric, scale, { table, levels, ink, axes: surface.axes }, $("path").checked ? surface.paths : []);
    stage.panes[k].surfaceShown = surface;
  });
  const scale = stage.panes[0]?.scale;
  $("clip-value").textContent = scale ? "at " + written(scale.hi) : "";
  $("lines-value").textContent = scale?.levels(Number($("lines").value)) ? levelText(scale) : "none";
  refresh();
}

function levelText(scale) {
  const step = scale.levels(Number($("lines").value)).step;
  return scale.log ? `×${written(10 ** step, 3)}` : `every ${written(step, 3)}`;
}

/** refresh draws what depends on the mark and the section. */
function refresh() {
  if (!stage) return;
  for (const pane of stage.panes) pane.annotate(state.mark, state.section);
  drawSection();
  drawMark();
  stage.invalidate();
}

function drawOverlay() {
  const canvas = $("overlay"), ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  annotatePanes(c, stage, titles());
}

function titles() {
  return stage.panes.map((pane) => ({
    name: stage.panes.length > 1 ? pane.surfaceShown.name : "",
    what: pane.metric.title + (pane.metric.unit ? ` (${pane.metric.unit})` : "") + (pane.scale.log ? ", logarithmic" : ""),
    note: pane.triangles() === 0 ? "no four finite values side by side to draw" : pathNote(pane),
  }));
}

/** pathNote says how much of the paths is not over the grid. */
function pathNote(pane) {
  const points = pane.paths.flatMap((p) => p.points);
  const outside = points.filter((p) => !pane.inside(p)).length;
  return outside > 0 ? `${outside} of ${points.length} checkpoints are outside of the grid` : "";
}

const curveColours = () => { const ink = chartInk(); return [ink.first, ink.second, ink.soft, ink.strong]; };

/** rangeScale spans the values that there are, a little more on either side. */
function rangeScale(values, log) {
  const finite = values.filter((v) => Number.isFinite(v) && !(log && v <= 0));
  const lo = finite.reduce((a, b) => Math.min(a, b), Infinity), hi = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  if (finite.length === 0) return new Scale(log ? 1 : 0, log ? 10 : 1, log);
  const tight = new Scale(lo, hi, log);
  return new Scale(tight.value(-0.04), tight.value(1.04), log);
}

function drawSection() {
  $("section-figure").hidden = !state.section;
  if (!state.section) return;
  const colours = curveColours();
  const curves = stage.panes.map((pane, k) => ({
    name: pane.surfaceShown.name, colour: colours[k % colours.length],
    points: alongSurface(pane.metric, pane.heights, state.section).map((p) => ({ x: p.s, y: Number.isNaN(p.height) ? NaN : pane.scale.value(p.height) })),
  }));
  if (curves.length === 0) return;
  const [pane] = stage.panes;
  drawChart($("section-chart"), {
    curves, scale: rangeScale(curves.flatMap((c) => c.points.map((p) => p.y)), pane.scale.log),
    xLabel: "distance along the section", yLabel: pane.metric.title, ink: chartInk(),
  });
}

/** valuesAt are the rows of a table: where the nearest point is, and every metric there. */
function valuesAt(surface, metric, x, y) {
  const here = metric.at(metric.nearestPoint(x, y));
  const rows = [[surface.axes[0], written(here.x)]];
  if (metric.y) rows.push([surface.axes[1], written(here.y)]);
  for (const m of surface.metrics) {
    const k = m.nearestPoint(here.x, here.y), at = m.at(k);
    const near = (a, b, c) => Math.abs(a - b) <= 1e-9 * (Math.abs(c[c.length - 1] - c[0]) || 1);
    if (!near(at.x, here.x, m.x) || (m.y && !near(at.y, here.y, m.y))) continue; // not planned there
    const error = m.error && Number.isFinite(m.error[k]) && m.error[k] > 0 ? " ± " + written(m.error[k], 2) : "";
    const status = m.status(k), remark = ["", "done", "nan", "inf"].includes(status) ? "" : ` (${status})`;
    const missing = status === "missing" || status === "failed" || status === "not-planned";
    rows.push([m.title, missing ? status : written(m.values[k], 6) + error + (m.unit ? " " + m.unit : "") + remark]);
  }
  return rows;
}

/** checkpointNear is a row about the checkpoint of a path under the pointer, if there is one. */
function checkpointNear(pane, place) {
  const away = (p) => Math.hypot(pane.place.toX(p.x) - pane.place.toX(place.x), pane.place.toY(p.y) - pane.place.toY(place.y));
  const all = pane.paths.flatMap((path) => path.points.map((p, k) => ({ p, text: [path.name, path.epochs ? `epoch ${path.epochs[k]}` : `number ${k}`].filter(Boolean).join(", ") })));
  const near = all.filter(({ p }) => away(p) < 0.03).sort((a, b) => away(a.p) - away(b.p))[0];
  return near ? [["checkpoint", near.text]] : [];
}

function setRows(list, rows) {
  list.replaceChildren(...rows.flatMap(([term, value]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = term;
    dd.textContent = value;
    return [dt, dd];
  }));
}

function drawMark() {
  $("mark-figure").hidden = !state.mark;
  if (!state.mark) return;
  const pane = stage.panes.find((p) => p.inside(state.mark));
  if (!pane) {
    $("mark-figure").hidden = true;
    return;
  }
  $("mark-title").textContent = "The marked point" + (stage.panes.length > 1 ? ", " + pane.surfaceShown.name : "");
  setRows($("mark-values"), stage.panes.length > 1
    ? stage.panes.flatMap((p) => [["", p.surfaceShown.name], ...valuesAt(p.surfaceShown, p.metric, state.mark.x, state.mark.y)])
    : valuesAt(pane.surfaceShown, pane.metric, state.mark.x, state.mark.y));
  drawDensity(pane.surfaceShown.densities);
}

/** drawDensity draws the spectral density at the recorded point that is nearest to the mark, smoothed by a Gaussian kernel. */
function drawDensity(densities) {
  $("density").hidden = densities.length === 0;
  if (densities.length === 0) return;
  const away = (d) => Math.hypot(d.x - state.mark.x, d.y - state.mark.y);
  const d = densities.reduce((a, b) => (away(b) < away(a) ? b : a));
  const low = d.nodes[0], high = d.nodes[d.nodes.length - 1];
  const width = Math.max(high - low, 1e-6 * Math.max(Math.abs(low), Math.abs(high)), 1e-300) / 150;
  const n = 400, points = [];
  for (let k = 0; k < n; k++) {
    const x = low - 4 * width + (k / (n - 1)) * (high - low + 8 * width);
    let y = 0;
    d.nodes.forEach((node, i) => { y += d.weights[i] * Math.exp(-(((x - node) / width) ** 2) / 2); });
    points.push({ x, y: y / (width * Math.sqrt(2 * Math.PI)) });
  }
  const most = points.reduce((a, p) => Math.max(a, p.y), 0);
  drawChart($("density"), {
    curves: [{ name: "density", colour: chartInk().first, points }], scale: new Scale(1e-8 * most, 2 * most, true), ink: chartInk(),
    xLabel: `eigenvalue, at (${written(d.x)}, ${written(d.y)})`, yLabel: "density", marks: low < 0 && high > 0 ? [{ x: 0 }] : [],
  });
}

/** drawLine draws the metric of all lines over α. */
function drawLine(having) {
  const colours = curveColours(), log = $("log").checked;
  const curves = having.map(({ surface, metric }, k) => ({
    name: surface.name, colour: colours[k % colours.length], dash: k < colours.length ? [] : [6, 4],
    points: Array.from(metric.x, (x, i) => ({ x, y: metric.hole(i, { log }) === "" ? metric.values[i] : NaN })),
  }));
  if (curves.length === 0) return;
  const { title, unit } = having[0].metric;
  const holes = having.map(({ metric }) => metric.values.filter((_, k) => metric.hole(k, { log })).length).reduce((a, b) => a + b);
  if (holes > 0) say(`${holes} ${holes === 1 ? "point has" : "points have"} no place here: NaN, infinite, missing${log ? ", or not positive" : ""}`);
  state.toX = drawChart($("line"), {
    curves, scale: rangeScale(curves.flatMap((c) => c.points.map((p) => p.y)), log),
    xLabel: having[0].surface.axes[0], yLabel: unit ? `${title} (${unit})` : title, ink: chartInk(), marks: state.mark ? [state.mark] : [],
  });
}

function say(text) {
  $("message").textContent = text;
  $("message").hidden = text === "";
}

/** setMark moves the mark to the nearest grid point of the metric shown; null takes it away. */
function setMark(place) {
  const metric = stage.panes[place?.pane || 0]?.metric;
  state.mark = place && metric ? metric.at(metric.nearestPoint(place.x, place.y)) : null;
  refresh();
}

function moveMark(dx, dy) {
  const metric = stage.panes[0]?.metric;
  if (!metric) return;
  const from = state.mark || { x: (metric.x[0] + metric.x[metric.x.length - 1]) / 2, y: (metric.y[0] + metric.y[metric.y.length - 1]) / 2 };
  const step = (c, v, d) => c[Math.min(Math.max(nearest(c, v) + d, 0), c.length - 1)];
  setMark({ x: step(metric.x, from.x, dx), y: step(metric.y, from.y, dy) });
}

function setSection(corners) {
  state.section = corners;
  const values = corners ? [corners[0].x, corners[0].y, corners[1].x, corners[1].y] : ["", "", "", ""];
  ["x0", "y0", "x1", "y1"].forEach((id, k) => { $(id).value = values[k] === "" ? "" : Number(values[k].toPrecision(4)); });
  refresh();
}

function setDrawing(on) {
  state.drawing = on;
  stage.controls.enabled = !on;
  $("draw").setAttribute("aria-pressed", String(on));
  $("stage").classList.toggle("drawing", on);
  say(on ? "Drag a line over the surface" : "");
}

/** save gives the picture, with its caption under it, as a PNG file. */
function save() {
  const ratio = 2, source = isLine() ? $("line") : $("stage");
  const width = source.clientWidth, height = source.clientHeight;
  const out = document.createElement("canvas"), c = out.getContext("2d");
  c.font = small;
  const lines = $("caption").textContent.split("\n").flatMap((text) => wrapped(c, text, width - 32));
  out.width = width * ratio;
  out.height = (height + (lines.length > 0 ? 20 + 17 * lines.length : 0)) * ratio;
  c.scale(ratio, ratio);
  const ink = inks();
  c.fillStyle = rgbText(ink.ground);
  c.fillRect(0, 0, out.width, out.height);
  if (isLine()) {
    c.drawImage(source, 0, 0, width, height);
  } else {
    stage.render({ ratio, triangles: Infinity }); // its pixels are there until the browser shows them
    c.drawImage(source, 0, 0, width, height);
    annotatePanes(c, stage, titles());
    stage.invalidate();
  }
  c.font = small;
  c.textBaseline = "top";
  c.textAlign = "left";
  c.fillStyle = rgbText(ink.soft);
  lines.forEach((line, k) => c.fillText(line, 16, height + 8 + 17 * k));
  out.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = [document.title, $("metric").value].join(" ").replace(/[^\w.-]+/g, "_") + ".png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

function listenToStage() {
  const canvas = $("stage");
  let pressed = null, hovering = null;
  canvas.addEventListener("pointerdown", (event) => {
    pressed = { x: event.clientX, y: event.clientY, place: stage.pick(event.clientX, event.clientY) };
    if (state.drawing) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (hovering === null) requestAnimationFrame(() => hover());
    hovering = event;
  });
  const hover = () => {
    const event = hovering;
    hovering = null;
    if (pressed && !state.drawing) { // the surface is being turned
      $("readout").hidden = true;
      return;
    }
    const place = stage.pick(event.clientX, event.clientY);
    $("readout").hidden = !place;
    if (!place) return;
    const pane = stage.panes[place.pane];
    setRows($("readout"), [...valuesAt(pane.surfaceShown, pane.metric, place.x, place.y), ...checkpointNear(pane, place)]);
    if (pressed?.place && state.drawing) setSection([pressed.place, place]);
  };
  canvas.addEventListener("pointerup", (event) => {
    const still = pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) < 5;
    if (state.drawing && pressed) {
      const place = stage.pick(event.clientX, event.clientY);
      if (pressed.place && place && !still) setSection([pressed.place, place]);
      setDrawing(false);
    } else if (still && event.button === 0 && pressed.place) {
      setMark(pressed.place);
    }
    pressed = null;
  });
  canvas.addEventListener("pointercancel", () => { pressed = null; });
  canvas.addEventListener("pointerleave", () => { $("readout").hidden = true; });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (way && event.shiftKey) moveMark(...way);
    else if (way) stage.turn(0.08 * way[0], 0.06 * way[1]);
    else if (event.key === "+" || event.key === "=") stage.turn(0, 0, 1.1);
    else if (event.key === "-") stage.turn(0, 0, 1 / 1.1);
    else if (event.key === "Home") stage.reset();
    else if (event.key === "Escape") clear();
    else return;
    event.preventDefault();
  });
}

function listenToLine() {
  $("line").addEventListener("pointermove", (event) => askLine((x) => nearest(x, state.toX(event.offsetX))));
  $("line").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    askLine((x) => Math.min(Math.max(nearest(x, state.mark ? state.mark.x : 0) + step, 0), x.length - 1));
    event.preventDefault();
  });
}

/** askLine marks the coordinate that choose picks of a metric's, and tells the values there of all lines. */
function askLine(choose) {
  const having = havingMetric();
  if (having.length === 0) return;
  const { x } = having[0].metric;
  state.mark = { x: x[choose(x)] };
  setRows($("readout"), having.flatMap(({ surface, metric }) => [
    ...(having.length > 1 ? [["", surface.name]] : []), ...valuesAt(surface, metric, state.mark.x, 0)]));
  $("readout").hidden = false;
  drawLine(having);
}

function clear() {
  setDrawing(false);
  state.mark = null;
  setSection(null);
}

function listenToControls() {
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["left", "right", "common", "clip", "lines", "colours", "path", "theme"]) $(id).addEventListener("input", rebuild);
  $("metric").addEventListener("input", () => {
    $("clip").value = 100;
    rebuild();
  });
  $("log").addEventListener("input", () => {
    state.log = $("log").checked;
    rebuild();
  });
  darkSystem.addEventListener("change", rebuild);
  $("save").addEventListener("click", save);
  $("reset").addEventListener("click", () => stage.reset());
  $("draw").addEventListener("click", () => setDrawing(!state.drawing));
  $("clear").addEventListener("click", clear);
  for (const id of ["x0", "y0", "x1", "y1"]) {
    $(id).addEventListener("change", () => {
      const [x0, y0, x1, y1] = ["x0", "y0", "x1", "y1"].map((name) => $(name).valueAsNumber);
      if ([x0, y0, x1, y1].every(Number.isFinite)) setSection([{ x: x0, y: y0 }, { x: x1, y: y1 }]);
    });
  }
  window.addEventListener("resize", () => (isLine() ? rebuild() : refresh()));
}

function showStatus(status) {
  $("status").hidden = false;
  $("progress").value = status.points > 0 ? status.done / status.points : 0;
  $("headline").textContent = status.headline;
  $("details").textContent = status.text;
}

/** follow asks the server that the page came from for news, as long as the page is open. */
async function follow(tag) {
  let pause = 2000;
  try {
    const answer = await fetch("data.json", { headers: tag ? { "If-None-Match": tag } : {} });
    if (answer.status === 200) {
      const data = await answer.json();
      tag = answer.headers.get("ETag");
      if (data.surfaces.length > 0) load(data);
      showStatus(data.status);
      if (data.surfaces.length === 0) say(data.status.problem);
    } else if (answer.status !== 304) {
      say((await answer.text()).trim() || `The server answered with status ${answer.status}`);
    }
  } catch {
    say("lsrun serve does not answer: this is what it said last");
    [tag, pause] = [null, 5000]; // the next answer is taken in whole
  }
  setTimeout(() => follow(tag), pause);
}

setOptions($("colours"), Object.keys(colourMaps).map((name) => ({ value: name, text: name })));
listenToLine();
listenToControls();
const data = JSON.parse($("data").textContent);
document.documentElement.dataset.theme = darkSystem.matches ? "dark" : "light";
if (data.live) follow(null);
else load(data);
