// A surface: its metrics over their grids, and what lies between the points.

/** bytesOf decodes base64. */
function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** floatsOf decodes little-endian float64 numbers in base64; null stays null. */
function floatsOf(text) {
  if (text == null) return null;
  const bytes = new DataView(bytesOf(text).buffer);
  return Float64Array.from({ length: bytes.byteLength / 8 }, (_, i) => bytes.getFloat64(8 * i, true));
}

/** nearest is the index of the element of the rising c that is nearest to v. */
function nearest(c, v) {
  let best = 0;
  for (let i = 1; i < c.length; i++) if (Math.abs(c[i] - v) < Math.abs(c[best] - v)) best = i;
  return best;
}

/** Metric is one quantity over its own grid: y is null for a line, and values[j * x.length + i] is at (x[i], y[j]). */
class Metric {
  constructor(data, statusNames) {
    for (const name of ["name", "title", "unit", "caption", "limits"]) this[name] = data[name];
    this.x = floatsOf(data.x);
    this.y = floatsOf(data.y);
    this.values = floatsOf(data.values);
    this.error = floatsOf(data.error);
    this.statuses = data.status == null ? null : bytesOf(data.status);
    this.statusNames = statusNames;
  }

  /** status is a word about point k: "done", "nan", "missing"; "" where none is recorded. */
  status(k) { return this.statuses ? this.statusNames[this.statuses[k]] : ""; }

  /** hole says why point k is not on the surface; "" if it is, and null if it was never planned. */
  hole(k, scale) {
    const status = this.status(k), v = this.values[k];
    if (status === "not-planned") return null;
    if (status === "missing" || status === "failed") return "missing";
    if (Number.isNaN(v)) return "NaN";
    if (!Number.isFinite(v)) return v > 0 ? "+∞" : "−∞";
    return scale.log && v <= 0 ? "not positive" : "";
  }

  /** finite are the values that can be drawn, sorted. */
  finite(log) {
    return this.values.filter((v, k) => this.hole(k, { log }) === "").sort();
  }

  nearestPoint(x, y) {
    return this.y ? nearest(this.y, y) * this.x.length + nearest(this.x, x) : nearest(this.x, x);
  }

  at(k) {
    const nx = this.x.length;
    return { x: this.x[k % nx], y: this.y ? this.y[Math.floor(k / nx)] : 0 };
  }

  /** heights are the values on the scale, NaN at holes. */
  heights(scale) {
    return this.values.map((v, k) => (this.hole(k, scale) === "" ? scale.norm(v) : NaN));
  }
}

/** splitsAlong01 chooses a cell's diagonal: the one whose ends differ less, so that ridges and valleys stay whole. Heights are
 * those of the corners (i, j), (i+1, j), (i, j+1), (i+1, j+1). */
function splitsAlong01(h00, h10, h01, h11) { return Math.abs(h10 - h01) < Math.abs(h00 - h11); }

/** cellOf is where v lies in the rising c: an index and the part of the step behind it; null outside. */
function cellOf(c, v) {
  if (!(v >= c[0] && v <= c[c.length - 1]) || c.length < 2) return null;
  let lo = 0, hi = c.length - 1;
  while (hi - lo > 1) {
    const mid = (lo + hi) >> 1;
    if (c[mid] <= v) lo = mid;
    else hi = mid;
  }
  return { i: lo, part: (v - c[lo]) / (c[hi] - c[lo]) };
}

/** heightAt is the height of the drawn triangles over (x, y); NaN over holes and outside. */
function heightAt(metric, heights, x, y) {
  const a = cellOf(metric.x, x), b = cellOf(metric.y, y);
  if (!a || !b) return NaN;
  const nx = metric.x.length, k = b.i * nx + a.i, u = a.part, v = b.part;
  const h00 = heights[k], h10 = heights[k + 1], h01 = heights[k + nx], h11 = heights[k + nx + 1];
  if (splitsAlong01(h00, h10, h01, h11)) {
    return u + v <= 1 ? h00 + u * (h10 - h00) + v * (h01 - h00) + 0 * h11 : h11 + (1 - u) * (h01 - h11) + (1 - v) * (h10 - h11) + 0 * h00;
  }
  return u >= v ? h00 + u * (h10 - h00) + v * (h11 - h10) + 0 * h01 : h00 + v * (h01 - h00) + u * (h11 - h01) + 0 * h10;
}
