// Triangles of a surface, as arrays for the graphics card.

/** Place maps coordinates of a surface to the box in which it is drawn: the longer side runs from −1 to 1, heights from 0 to boxHeight. */
class Place {
  constructor(metric) {
    const ends = (c) => ({ mid: (c[0] + c[c.length - 1]) / 2, span: c[c.length - 1] - c[0] || 1 });
    this.x = ends(metric.x);
    this.y = ends(metric.y);
    const longest = Math.max(this.x.span, this.y.span);
    this.halfX = Math.max(this.x.span / longest, 0.4); // a narrow strip is drawn wider
    this.halfY = Math.max(this.y.span / longest, 0.4);
  }

  toX(x) { return ((x - this.x.mid) / this.x.span) * 2 * this.halfX; }
  toY(y) { return ((y - this.y.mid) / this.y.span) * 2 * this.halfY; }
  fromX(px) { return (px / (2 * this.halfX)) * this.x.span + this.x.mid; }
  fromY(py) { return (py / (2 * this.halfY)) * this.y.span + this.y.mid; }
}

const boxHeight = 1;
const floorHeight = -0.42;
const steepest = 4; // box heights at which points above the box are taken to be, where slopes are concerned

/** slope is the derivative by central differences, one-sided beside holes and at the border; 0 where nothing is near. */
function slope(before, here, after, stepBefore, stepAfter) {
  const a = Number.isNaN(before) ? 0 : stepBefore, b = Number.isNaN(after) ? 0 : stepAfter;
  if (a + b === 0) return 0;
  return ((b > 0 ? after : here) - (a > 0 ? before : here)) / (a + b);
}

/** normalsOf has a unit normal for each point of a grid {x, y, heights}. */
function normalsOf(grid, place) {
  const nx = grid.x.length, ny = grid.y.length;
  const z = grid.heights.map((t) => Math.min(t, steepest) * boxHeight);
  const px = grid.x.map((v) => place.toX(v)), py = grid.y.map((v) => place.toY(v));
  const normals = new Float32Array(3 * nx * ny);
  for (let j = 0; j < ny; j++) {
    for (let i = 0; i < nx; i++) {
      const k = j * nx + i;
      const sx = slope(i > 0 ? z[k - 1] : NaN, z[k], i < nx - 1 ? z[k + 1] : NaN, px[i] - px[i - 1], px[i + 1] - px[i]);
      const sy = slope(j > 0 ? z[k - nx] : NaN, z[k], j < ny - 1 ? z[k + nx] : NaN, py[j] - py[j - 1], py[j + 1] - py[j]);
      const length = Math.hypot(sx, sy, 1) || 1;
      normals.set([-sx / length, -sy / length, 1 / length], 3 * k);
    }
  }
  return normals;
}

/** thinned is a grid of every stride-th point on each axis, and the last ones; normals stay those of the whole grid. */
function thinned(grid, stride) {
  const kept = (n) => Array.from({ length: Math.ceil((n - 1) / stride) + 1 }, (_, k) => Math.min(k * stride, n - 1));
  const columns = kept(grid.x.length), rows = kept(grid.y.length);
  const points = rows.flatMap((j) => columns.map((i) => j * grid.x.length + i));
  return {
    x: Float64Array.from(columns, (i) => grid.x[i]), y: Float64Array.from(rows, (j) => grid.y[j]),
    heights: Float64Array.from(points, (k) => grid.heights[k]), normals: Float32Array.from(points.flatMap((k) => [...grid.normals.subarray(3 * k, 3 * k + 3)])),
  };
}

/**
 * meshOf makes a grid's triangles under height 1. Only cells with four corners have any; what rises above the box is cut
 * off exactly at its top. Every vertex has its height as value, too.
 */
function meshOf({ x, y, heights, normals: gridNormals }, place) {
  const nx = x.length, ny = y.length;
  const positions = [], normals = [], values = [], indices = [];
  const vertex = (px, py, t, nX, nY, nZ) => {
    positions.push(px, py, t * boxHeight);
    normals.push(nX, nY, nZ);
    values.push(t);
    return values.length - 1;
  };
  const at = (k) => [place.toX(x[k % nx]), place.toY(y[Math.floor(k / nx)])];
  const numbers = new Int32Array(nx * ny).fill(-1);
  const corner = (k) => {
    if (numbers[k] < 0) numbers[k] = vertex(...at(k), heights[k], ...gridNormals.subarray(3 * k, 3 * k + 3));
    return numbers[k];
  };
  const crossing = (below, above) => { // where the edge from one corner to another leaves the box
    const s = (1 - heights[below]) / (heights[above] - heights[below]);
    const mix = (a, b) => a + s * (b - a);
    const [ax, ay] = at(below), [bx, by] = at(above);
    return vertex(mix(ax, bx), mix(ay, by), 1, ...[0, 1, 2].map((c) => mix(gridNormals[3 * below + c], gridNormals[3 * above + c])));
  };
  const triangle = (...corners) => {
    const polygon = [];
    for (let c = 0; c < 3; c++) {
      const a = corners[c], b = corners[(c + 1) % 3];
      if (heights[a] <= 1) polygon.push(corner(a));
      if (heights[a] < 1 && heights[b] > 1) polygon.push(crossing(a, b));
      if (heights[a] > 1 && heights[b] < 1) polygon.push(crossing(b, a));
    }
    for (let c = 2; c < polygon.length; c++) indices.push(polygon[0], polygon[c - 1], polygon[c]);
  };
  for (let j = 0; j + 1 < ny; j++) {
    for (let i = 0; i + 1 < nx; i++) {
      const a = j * nx + i, b = a + 1, c = a + nx, d = c + 1;
      if (Number.isNaN(heights[a] + heights[b] + heights[c] + heights[d])) continue;
      if (splitsAlong01(heights[a], heights[b], heights[c], heights[d])) {
        triangle(a, b, c);
        triangle(b, d, c);
      } else {
        triangle(a, b, d);
        triangle(a, d, c);
      }
    }
  }
  return {
    positions: new Float32Array(positions), normals: new Float32Array(normals), values: new Float32Array(values), indices: new Uint32Array(indices),
  };
}

/** tilesOf are the points that the surface lacks, each as its part of the floor: corners and the kind of hole. */
function tilesOf(metric, scale, place) {
  const borders = (c, to) => Float64Array.from({ length: c.length + 1 }, (_, i) => to(
    i === 0 ? c[0] : i === c.length ? c[c.length - 1] : (c[i - 1] + c[i]) / 2));
  const bx = borders(metric.x, (v) => place.toX(v)), by = borders(metric.y, (v) => place.toY(v));
  const nx = metric.x.length, tiles = [];
  for (let k = 0; k < metric.values.length; k++) {
    const kind = metric.hole(k, scale);
    if (!kind) continue;
    const i = k % nx, j = Math.floor(k / nx);
    tiles.push({ kind, x0: bx[i], x1: bx[i + 1], y0: by[j], y1: by[j + 1] });
  }
  return tiles;
}

/**
 * alongSurface is the way over corners {x, y} as points {x, y, s, height}: several to a cell, with s the distance from
 * the start and height NaN where there is no surface.
 */
function alongSurface(metric, heights, corners) {
  const pace = Math.min(Math.abs(metric.x[1] - metric.x[0]) || Infinity, Math.abs(metric.y[1] - metric.y[0]) || Infinity) / 4;
  const points = [];
  let s = 0;
  corners.forEach((b, c) => {
    const a = c > 0 ? corners[c - 1] : b;
    const length = Math.hypot(b.x - a.x, b.y - a.y);
    const steps = c > 0 ? Math.min(Math.max(Math.ceil(length / pace), 1), 2000) : 1;
    for (let k = 1; k <= steps; k++) {
      const x = a.x + (k / steps) * (b.x - a.x), y = a.y + (k / steps) * (b.y - a.y);
      points.push({ x, y, s: s + (k / steps) * length, height: heightAt(metric, heights, x, y) });
    }
    s += length;
  });
  return points;
}
