// What is written around surfaces: axes, titles, colour bars. It is drawn flat over the stage, and so gets into exported pictures, too.

const small = "12px system-ui, sans-serif", strong = "600 13px system-ui, sans-serif";

/** annotate writes around every pane; c's unit is the CSS pixel. */
function annotatePanes(c, stage, titles) {
  stage.frames().forEach((frame, k) => {
    const pane = stage.panes[k];
    if (!pane.surface) return;
    const ink = pane.look.ink;
    c.textBaseline = "middle";
    c.font = small;
    drawAxes(c, stage, frame, pane, ink);
    drawColourBar(c, frame, pane, ink);
    drawTitle(c, frame, titles[k], pane, ink);
  });
}

/** drawAxes labels the two edges of the floor that are in front, and the upright edge that is leftmost. */
function drawAxes(c, stage, frame, pane, ink) {
  const { halfX, halfY } = pane.place, camera = stage.camera.position;
  const frontX = camera.x > 0 ? halfX : -halfX, frontY = camera.y > 0 ? halfY : -halfY;
  const most = frame.width < 420 ? 3 : 5;
  const middle = stage.project(frame, 0, 0, floorHeight);
  const label = (text, x, y, z, colour, away = false) => { // away from the floor's middle, or centred
    const p = stage.project(frame, x, y, z);
    if (!p || !middle) return;
    c.textAlign = !away ? "center" : p.x > middle.x ? "left" : "right";
    c.fillStyle = rgbText(colour);
    const width = c.measureText(text).width, before = { left: 0, center: width / 2, right: width }[c.textAlign];
    c.fillText(text, Math.max(frame.x + 4 + before, Math.min(p.x, frame.x + frame.width - 4 - width + before)), p.y);
  };
  const numbers = (ticks, draw) => {
    const digits = digitsOf(ticks);
    for (const v of ticks) draw(v, written(v, digits));
  };
  const gap = frame.width < 420 ? 0.2 : 0.13, far = frame.width < 420 ? 0.42 : 0.3;
  const out = (front, by) => front + Math.sign(front) * by;
  const alongX = new Scale(pane.metric.x[0], pane.metric.x[pane.metric.x.length - 1], false);
  numbers(alongX.ticks(most), (v, text) => label(text, pane.place.toX(v), out(frontY, gap), floorHeight, ink.soft));
  label(pane.look.axes[0], 0, out(frontY, far), floorHeight, ink.strong, true);
  const alongY = new Scale(pane.metric.y[0], pane.metric.y[pane.metric.y.length - 1], false);
  numbers(alongY.ticks(most), (v, text) => label(text, out(frontX, gap), pane.place.toY(v), floorHeight, ink.soft));
  label(pane.look.axes[1], out(frontX, far), 0, floorHeight, ink.strong, true);
  const corners = [[-halfX, -halfY], [halfX, -halfY], [halfX, halfY], [-halfX, halfY]];
  const leftmost = corners.map(([x, y]) => ({ x, y, p: stage.project(frame, x, y, 0.5 * boxHeight) })).filter((e) => e.p).sort((a, b) => a.p.x - b.p.x)[0];
  if (!leftmost) return;
  c.textAlign = "right";
  c.fillStyle = rgbText(ink.soft);
  numbers(pane.scale.ticks(6), (v, text) => {
    const p = stage.project(frame, leftmost.x, leftmost.y, pane.scale.norm(v) * boxHeight);
    if (p) c.fillText(text, p.x - 7, p.y);
  });
}

function drawColourBar(c, frame, pane, ink) {
  const height = Math.min(180, frame.height * 0.34), width = 9;
  const x = frame.x + frame.width - 20, top = frame.y + 44;
  for (let k = 0; k < height; k++) {
    c.fillStyle = colourAt(pane.look.table, 1 - k / (height - 1));
    c.fillRect(x, top + k, width, 1.5);
  }
  c.textAlign = "right";
  const ticks = pane.scale.ticks(frame.height < 420 ? 3 : 5), digits = digitsOf(ticks);
  for (const v of ticks) {
    c.fillStyle = rgbText(ink.soft);
    c.fillText(written(v, digits), x - 6, top + (1 - pane.scale.norm(v)) * height);
  }
}

/** drawTitle names the surface and its metric, and the kinds of holes it has. */
function drawTitle(c, frame, title, pane, ink) {
  const x = frame.x + 16;
  let y = frame.y + 20;
  c.textAlign = "left";
  c.font = strong;
  c.fillStyle = rgbText(ink.strong);
  if (title.name) {
    c.fillText(shortened(c, title.name, frame.width - 32), x, y);
    c.font = small;
    c.fillStyle = rgbText(ink.soft);
    y += 18;
  }
  c.fillText(title.what, x, y);
  c.font = small;
  c.fillStyle = rgbText(ink.soft);
  const counts = new Map();
  for (const tile of pane.tiles) counts.set(tile.kind, (counts.get(tile.kind) || 0) + 1);
  for (const [kind, n] of counts) {
    y += 18;
    c.fillStyle = holeColours[kind];
    c.fillRect(x, y - 5, 10, 10);
    c.fillStyle = rgbText(ink.soft);
    c.fillText(`${n} ${n === 1 ? "point" : "points"} ${kind}`, x + 16, y);
  }
  if (title.note) c.fillText(shortened(c, title.note, frame.width - 32), x, y + 18);
}

/** shortened cuts a text to a width, in its middle. */
function shortened(c, text, width) {
  if (c.measureText(text).width <= width) return text;
  let keep = text.length;
  const cut = () => text.slice(0, Math.ceil(keep / 2)) + "…" + text.slice(text.length - Math.floor(keep / 2));
  while (keep > 2 && c.measureText(cut()).width > width) keep--;
  return cut();
}

/** wrapped breaks a text into lines of a width. */
function wrapped(c, text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = lines[lines.length - 1] + (lines[lines.length - 1] ? " " : "") + word;
    if (c.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.filter((line) => line);
}
