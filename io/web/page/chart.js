// Curves with axes, on a canvas.

/**
 * drawChart draws curves into a canvas of any size. A curve is {name, colour, points: [{x, y}]}; it is interrupted where y
 * has no place on the scale. marks are vertical lines {x, text}. Returned is what maps a pixel to x.
 */
function drawChart(canvas, { curves, scale, xLabel, yLabel, ink, marks = [] }) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  c.font = "12px system-ui, sans-serif";
  const ticks = scale.ticks(Math.max(Math.floor(height / 45), 2));
  const digits = digitsOf(ticks);
  const left = 22 + Math.max(...ticks.map((v) => c.measureText(written(v, digits)).width), 20);
  const frame = { left, right: width - 14, top: curves.length > 1 ? 32 : 14, bottom: height - 40 };
  const xs = curves.flatMap((curve) => curve.points.map((p) => p.x));
  const xScale = new Scale(xs.reduce((a, b) => Math.min(a, b), Infinity), xs.reduce((a, b) => Math.max(a, b), -Infinity), false);
  const toX = (x) => frame.left + xScale.norm(x) * (frame.right - frame.left);
  const toY = (y) => frame.bottom - scale.norm(y) * (frame.bottom - frame.top);
  drawChartAxes(c, frame, { xScale, toX, toY, ticks, xLabel, yLabel, ink });
  c.save();
  c.beginPath();
  c.rect(frame.left, frame.top - 2, frame.right - frame.left, frame.bottom - frame.top + 4);
  c.clip();
  for (const curve of curves) drawCurve(c, curve, toX, toY);
  c.strokeStyle = ink.strong;
  c.setLineDash([3, 3]);
  for (const mark of marks) {
    c.beginPath();
    c.moveTo(toX(mark.x), frame.top);
    c.lineTo(toX(mark.x), frame.bottom);
    c.stroke();
  }
  c.restore();
  drawChartLegend(c, frame, curves, ink);
  return (pixel) => xScale.value((pixel - frame.left) / (frame.right - frame.left));
}

function drawChartAxes(c, frame, { xScale, toX, toY, ticks, xLabel, yLabel, ink }) {
  c.strokeStyle = ink.faint;
  c.fillStyle = ink.soft;
  c.lineWidth = 1;
  c.textBaseline = "middle";
  c.textAlign = "right";
  const digits = digitsOf(ticks);
  for (const v of ticks) {
    const y = Math.round(toY(v)) + 0.5;
    c.beginPath();
    c.moveTo(frame.left, y);
    c.lineTo(frame.right, y);
    c.stroke();
    c.fillText(written(v, digits), frame.left - 6, y);
  }
  c.textAlign = "center";
  c.textBaseline = "top";
  const xTicks = xScale.ticks(Math.max(Math.floor((frame.right - frame.left) / 80), 2)), xDigits = digitsOf(xTicks);
  for (const v of xTicks) c.fillText(written(v, xDigits), toX(v), frame.bottom + 6);
  c.fillStyle = ink.strong;
  c.fillText(xLabel, (frame.left + frame.right) / 2, frame.bottom + 22);
  c.save();
  c.translate(4, (frame.top + frame.bottom) / 2);
  c.rotate(-Math.PI / 2);
  c.fillText(yLabel, 0, 0);
  c.restore();
}

function drawCurve(c, curve, toX, toY) {
  c.strokeStyle = curve.colour;
  c.fillStyle = curve.colour;
  c.lineWidth = 2;
  c.lineJoin = "round";
  c.setLineDash(curve.dash || []);
  c.beginPath();
  let before = false;
  curve.points.forEach((p, i) => {
    const y = toY(p.y), here = !Number.isNaN(y);
    if (here && before) c.lineTo(toX(p.x), y);
    if (here && !before) c.moveTo(toX(p.x), y);
    const next = curve.points[i + 1];
    if (here && !before && !(next && !Number.isNaN(toY(next.y)))) c.fillRect(toX(p.x) - 2, y - 2, 4, 4); // a lonely point
    before = here;
  });
  c.stroke();
}

/** drawChartLegend names curves in a row over the frame, from its right end. */
function drawChartLegend(c, frame, curves, ink) {
  if (curves.length < 2) return;
  c.textAlign = "right";
  c.textBaseline = "middle";
  c.lineWidth = 2;
  let x = frame.right;
  for (const curve of [...curves].reverse()) {
    c.fillStyle = ink.strong;
    c.strokeStyle = curve.colour;
    const name = shortened(c, curve.name, (frame.right - frame.left) / curves.length - 50);
    c.fillText(name, x, frame.top - 18);
    x -= c.measureText(name).width + 8;
    c.setLineDash(curve.dash || []);
    c.beginPath();
    c.moveTo(x - 22, frame.top - 18);
    c.lineTo(x, frame.top - 18);
    c.stroke();
    x -= 40;
  }
  c.setLineDash([]);
}
