// Surfaces in three dimensions: the only user of THREE.

const vertexShader = `
attribute float value;
uniform float floorHeight;
uniform bool onFloor;
varying float vValue;
varying vec3 vNormal;
varying vec3 vPosition;
void main() {
  vValue = value;
  vNormal = normalMatrix * normal;
  vec4 p = modelViewMatrix * vec4(position.xy, onFloor ? floorHeight : position.z, 1.0);
  vPosition = p.xyz;
  gl_Position = projectionMatrix * p;
}`;

// Contour lines are where the value is a whole multiple of the spacing; their width is measured in pixels by the value's
// slope over the screen, and they fade where there would be no room between them.
const fragmentShader = `
uniform sampler2D colours;
uniform bool onFloor;
uniform float spacing;
uniform float offset;
uniform float lineWidth;
uniform vec3 ground;
varying float vValue;
varying vec3 vNormal;
varying vec3 vPosition;
void main() {
  vec3 colour = texture2D(colours, vec2(vValue * 0.996 + 0.002, 0.5)).rgb;
  float line = 0.0;
  if (spacing > 0.0) {
    float level = vValue / spacing - offset;
    float perPixel = max(fwidth(level), 1e-6);
    float distance = abs(fract(level - 0.5) - 0.5) / perPixel;
    line = (1.0 - smoothstep(lineWidth - 0.5, lineWidth + 0.5, distance)) * (1.0 - smoothstep(0.25, 0.6, perPixel));
  }
  if (onFloor) {
    gl_FragColor = vec4(mix(mix(ground, colour, 0.22), colour * 0.85, line), 1.0);
    return;
  }
  vec3 normal = normalize(gl_FrontFacing ? vNormal : -vNormal);
  vec3 light = normalize(vec3(-0.45, 0.75, 0.6));
  float lit = 0.5 + 0.5 * dot(normal, light);
  float glint = pow(max(dot(normal, normalize(light - normalize(vPosition))), 0.0), 40.0);
  colour *= 0.42 + 0.68 * lit * lit;
  colour = mix(colour, vec3(0.0), 0.36 * line) + 0.12 * glint;
  gl_FragColor = vec4(colour, 1.0);
}`;

const lift = 0.006; // of lines over the surface, so that it does not swallow them
const marker = "#e4572e";
const pathColours = ["#ffffff", "#ffc14d", "#7fd6ff", "#ff9ecb", "#a8e889"];

/** Pane is one surface in its box. */
class Pane {
  constructor() {
    this.scene = new THREE.Scene();
    this.content = new THREE.Group();
    this.walls = [];
    this.scene.add(this.content);
    this.overlayed = new THREE.Group(); // the section and the marked point, which come and go
    this.scene.add(this.overlayed);
  }

  /** show replaces what is drawn. metric is a plane's, look {table, levels, ink}. */
  show(metric, scale, look, paths) {
    this.clear();
    Object.assign(this, { metric, scale, look, paths, place: new Place(metric), heights: metric.heights(scale) });
    const grid = { x: metric.x, y: metric.y, heights: this.heights };
    this.grid = { ...grid, normals: normalsOf(grid, this.place) };
    this.tiles = tilesOf(metric, scale, this.place);
    this.geometries = new Map();
    const texture = new THREE.DataTexture(look.table, 256, 1, THREE.RGBAFormat);
    texture.magFilter = texture.minFilter = THREE.LinearFilter;
    texture.needsUpdate = true;
    const material = (onFloor) => new THREE.ShaderMaterial({
      vertexShader, fragmentShader, side: THREE.DoubleSide,
      uniforms: {
        colours: { value: texture }, onFloor: { value: onFloor }, floorHeight: { value: floorHeight + 0.002 }, lineWidth: { value: 0.9 },
        spacing: { value: look.levels ? look.levels.spacing : 0 }, offset: { value: look.levels ? look.levels.offset : 0 },
        ground: { value: new THREE.Vector3(...look.ink.floor.map((v) => v / 255)) },
      },
    });
    this.surface = new THREE.Mesh(this.geometry(1), material(false));
    this.shadow = new THREE.Mesh(this.geometry(1), material(true));
    this.shadow.frustumCulled = this.surface.frustumCulled = false;
    this.content.add(this.surface, this.shadow);
    this.addFloor();
    this.addBox();
    paths.forEach((path, k) => this.addPath(path.points, pathColours[k % pathColours.length]));
  }

  /** geometry is the surface of every stride-th point. */
  geometry(stride) {
    if (!this.geometries.has(stride)) {
      const mesh = meshOf(stride > 1 ? thinned(this.grid, stride) : this.grid, this.place), geometry = new THREE.BufferGeometry();
      geometry.setAttribute("position", new THREE.BufferAttribute(mesh.positions, 3));
      geometry.setAttribute("normal", new THREE.BufferAttribute(mesh.normals, 3));
      geometry.setAttribute("value", new THREE.BufferAttribute(mesh.values, 1));
      geometry.setIndex(new THREE.BufferAttribute(mesh.indices, 1));
      this.geometries.set(stride, geometry);
    }
    return this.geometries.get(stride);
  }

  corners() {
    const { halfX, halfY } = this.place;
    return [floorHeight, boxHeight].flatMap((z) => [[-halfX, -halfY, z], [halfX, -halfY, z], [halfX, halfY, z], [-halfX, halfY, z]]);
  }

  triangles() { return this.geometry(1).index.count / 3; }

  /** coarsened is the surface in about so many triangles, or fewer. */
  coarsened(triangles) { return this.geometry(Math.max(1, Math.ceil(Math.sqrt(this.triangles() / triangles)))); }

  /** refine says how finely the surface is drawn: pixels a CSS pixel, and triangles. */
  refine({ ratio, triangles }) {
    this.surface.geometry = this.shadow.geometry = this.coarsened(triangles);
    for (const mesh of [this.surface, this.shadow]) mesh.material.uniforms.lineWidth.value = 0.55 * ratio;
  }

  clear() {
    dispose(this.content);
    dispose(this.overlayed);
    this.geometries?.forEach((geometry) => geometry.dispose());
  }

  addFloor() {
    const quads = [{ x0: -this.place.halfX, x1: this.place.halfX, y0: -this.place.halfY, y1: this.place.halfY, z: floorHeight - 0.002, colour: rgbText(this.look.ink.floor) }]
      .concat(this.tiles.map((tile) => ({ ...tile, z: floorHeight + 0.004, colour: holeColours[tile.kind] })));
    const positions = [], colours = [], indices = [], colour = new THREE.Color();
    for (const q of quads) {
      const first = positions.length / 3;
      positions.push(q.x0, q.y0, q.z, q.x1, q.y0, q.z, q.x1, q.y1, q.z, q.x0, q.y1, q.z);
      colour.set(q.colour);
      for (let k = 0; k < 4; k++) colours.push(colour.r, colour.g, colour.b);
      indices.push(first, first + 1, first + 2, first, first + 2, first + 3);
    }
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(positions), 3));
    geometry.setAttribute("color", new THREE.BufferAttribute(new Float32Array(colours), 3));
    geometry.setIndex(indices);
    this.content.add(new THREE.Mesh(geometry, new THREE.MeshBasicMaterial({ vertexColors: true, side: THREE.DoubleSide })));
  }

  /** addBox draws the floor's outline, and a wall on each side with a line for each tick; those behind the surface are shown. */
  addBox() {
    const { halfX, halfY } = this.place;
    const corners = [[-halfX, -halfY], [halfX, -halfY], [halfX, halfY], [-halfX, halfY]];
    const heights = this.scale.ticks(6).map((v) => this.scale.norm(v) * boxHeight);
    this.walls = corners.map((a, side) => {
      const b = corners[(side + 1) % 4];
      const points = [...a, floorHeight, ...a, boxHeight, ...b, floorHeight, ...b, boxHeight];
      for (const z of heights) points.push(...a, z, ...b, z);
      const wall = this.segments(points, this.look.ink.grid);
      wall.userData.outward = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
      return wall;
    });
    const outline = this.segments(corners.flatMap((a, side) => [...a, floorHeight, ...corners[(side + 1) % 4], floorHeight]), this.look.ink.grid);
    this.content.add(outline, ...this.walls);
  }

  segments(points, colour) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(points), 3));
    return new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color: rgbText(colour) }));
  }

  /** line draws a way {x, y} over the surface and below it; of two lines that of the higher order is seen. */
  line(group, corners, colour, width, order = 1) {
    const points = alongSurface(this.metric, this.heights, corners);
    const above = [], below = [];
    for (let k = 1; k < points.length; k++) {
      const [a, b] = [points[k - 1], points[k]];
      if (!this.inside(a) || !this.inside(b)) continue;
      const at = (p, z) => [this.place.toX(p.x), this.place.toY(p.y), z + lift];
      below.push(...at(a, floorHeight), ...at(b, floorHeight));
      if (a.height <= 1 && b.height <= 1) above.push(...at(a, a.height * boxHeight), ...at(b, b.height * boxHeight));
    }
    for (const [segments, part] of [[above, 1], [below, 0.6]]) {
      if (segments.length === 0) continue;
      const geometry = new THREE.LineSegmentsGeometry();
      geometry.setPositions(segments);
      const line = new THREE.LineSegments2(geometry, new THREE.LineMaterial({ color: colour, linewidth: width * part, depthWrite: false }));
      line.renderOrder = order;
      group.add(line);
    }
  }

  balls(group, points, radius, colour) {
    if (points.length === 0) return;
    const balls = new THREE.InstancedMesh(new THREE.SphereGeometry(radius, 16, 12), new THREE.MeshBasicMaterial({ color: colour }), points.length);
    points.forEach((p, k) => balls.setMatrixAt(k, new THREE.Matrix4().makeTranslation(...p)));
    balls.frustumCulled = false;
    balls.renderOrder = 3;
    group.add(balls);
  }

  addPath(path, colour) {
    const group = new THREE.Group();
    this.line(group, path, "#101418", 5);
    this.line(group, path, colour, 2.4, 2);
    const seats = path.flatMap((p) => this.seats(p));
    const last = this.seats(path[path.length - 1]);
    this.balls(group, seats, 0.016, colour);
    this.balls(group, last, 0.026, marker);
    this.content.add(group);
  }

  inside(p) { return cellOf(this.metric.x, p.x) !== null && cellOf(this.metric.y, p.y) !== null; }

  /** seats are where (x, y) is on the surface and on the floor, as far as it is there. */
  seats(p) {
    if (!this.inside(p)) return [];
    const h = heightAt(this.metric, this.heights, p.x, p.y), x = this.place.toX(p.x), y = this.place.toY(p.y);
    return (h <= 1 ? [[x, y, h * boxHeight + lift]] : []).concat([[x, y, floorHeight + lift]]);
  }

  /** annotate marks a point and a section; either may be null. */
  annotate(mark, section) {
    dispose(this.overlayed);
    if (section) this.line(this.overlayed, section, marker, 3, 2);
    if (!mark) return;
    const seats = this.seats(mark);
    if (seats.length === 0) return;
    this.balls(this.overlayed, seats, 0.022, marker);
    const top = seats.length > 1 ? seats[0] : [seats[0][0], seats[0][1], boxHeight];
    this.overlayed.add(this.segments([...top, ...seats[seats.length - 1]], [228, 87, 46]));
  }
}

/** dispose empties a group and gives back what the graphics card holds for it. */
function dispose(group) {
  group.traverse((part) => {
    if (part.geometry) part.geometry.dispose();
    if (part.material) {
      part.material.uniforms?.colours?.value.dispose();
      part.material.dispose();
    }
  });
  group.clear();
}

const calm = 120; // ms without a change after which a picture is drawn as finely as it can be, or longer where pictures take long

/** How finely pictures are drawn while they move, from machines that draw at ease to those without a graphics card. */
const paces = [
  { ratio: 2, triangles: Infinity }, { ratio: 1.5, triangles: 4e5 }, { ratio: 1, triangles: 1e5 }, { ratio: 1, triangles: 3e4 },
  { ratio: 0.85, triangles: 1e4 }, { ratio: 0.7, triangles: 5e3 }, { ratio: 0.5, triangles: 2.5e3 },
];
const tooSlow = 29, atEase = 18; // ms between two pictures

const fieldOfView = 24 * (Math.PI / 180);
const narrow = 1.15; // the aspect below which a frame's width decides

/** Stage draws panes beside each other, or one above the other where it is tall, through one camera. */
class Stage {
  constructor(canvas, afterDrawing) {
    this.canvas = canvas;
    this.afterDrawing = afterDrawing;
    this.panes = [];
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: false, powerPreference: "high-performance" });
    this.camera = new THREE.PerspectiveCamera(undefined, 1, 0.1, 50);
    this.camera.up.set(0, 0, 1);
    this.controls = new THREE.OrbitControls(this.camera, canvas);
    this.controls.minDistance = 1.5;
    this.controls.maxDistance = 14;
    this.controls.maxPolarAngle = 0.5 * Math.PI;
    this.controls.addEventListener("change", () => this.invalidate());
    const gl = this.renderer.getContext(), names = gl.getExtension("WEBGL_debug_renderer_info");
    const software = /swiftshader|llvmpipe|software/i.test(names ? gl.getParameter(names.UNMASKED_RENDERER_WEBGL) : "");
    this.pace = software ? 4 : 0; // of paces
    this.still = { ratio: software ? 1.5 : 2, triangles: Infinity };
    this.reset();
    new ResizeObserver(() => this.invalidate()).observe(canvas);
  }

  /** reset looks from where the whole box of every pane is seen, with room for what is written around it. */
  reset() {
    const frame = { x: 0, y: 0, width: narrow, height: 1 }; // what is seen in it is seen in all others, see aim
    const seen = () => this.panes.every((pane) => pane.corners().every((corner) => {
      const p = this.project(frame, ...corner);
      return p && p.x > 0.1 * narrow && p.x < 0.92 * narrow && p.y > 0.06 && p.y < 0.91;
    }));
    this.controls.target.set(0, 0, 0.25);
    for (let distance = 4; distance < 12; distance += 0.1) {
      this.camera.position.set(-0.38, -0.72, 0.57).multiplyScalar(distance).add(this.controls.target);
      this.controls.update();
      if (seen()) break;
    }
    this.invalidate();
  }

  /** turn moves the camera by angles, and zoom divides its distance. */
  turn(around, up, zoom = 1) {
    const d = this.camera.position.clone().sub(this.controls.target);
    const distance = Math.min(Math.max(d.length() / zoom, this.controls.minDistance), this.controls.maxDistance);
    const azimuth = Math.atan2(d.y, d.x) + around;
    const polar = Math.min(Math.max(Math.acos(d.z / d.length()) - up, 0.01), this.controls.maxPolarAngle);
    d.set(Math.sin(polar) * Math.cos(azimuth), Math.sin(polar) * Math.sin(azimuth), Math.cos(polar)).multiplyScalar(distance);
    this.camera.position.copy(this.controls.target).add(d);
    this.controls.update();
    this.invalidate();
  }

  setPanes(count) {
    while (this.panes.length > count) this.panes.pop().clear();
    while (this.panes.length < count) this.panes.push(new Pane());
  }

  /** frames are the panes' rectangles in CSS pixels, from the upper left corner. */
  frames() {
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight, n = this.panes.length;
    return this.panes.map((pane, k) => (width >= height
      ? { x: (k * width) / n, y: 0, width: width / n, height }
      : { x: 0, y: (k * height) / n, width, height: height / n }));
  }

  /** aim sees as much from top to bottom as in any other frame, or where it is narrow as much from left to right. */
  aim(frame) {
    this.camera.aspect = frame.width / frame.height;
    const tangent = Math.tan(fieldOfView / 2) * Math.max(1, narrow / this.camera.aspect);
    this.camera.fov = 2 * Math.atan(tangent) * (180 / Math.PI);
    this.camera.updateProjectionMatrix();
  }

  invalidate() {
    this.changed = performance.now();
    this.dirty = true;
    this.schedule();
  }

  schedule() {
    if (!this.scheduled) requestAnimationFrame((now) => this.frame(now));
    this.scheduled = true;
  }

  frame(now) {
    this.scheduled = false;
    const moving = this.dirty || now - this.changed < Math.max(calm, 4 * this.interval);
    if (this.dirty) {
      this.interval = this.turning ? now - this.drawn : 0;
      if (this.turning) this.keepPace(this.interval);
      this.drawn = now;
    }
    this.turning = moving;
    if (this.dirty || !moving) this.render(moving ? paces[this.pace] : this.still);
    if (!moving) this.mayRefine = true;
    this.dirty = false;
    if (moving) this.schedule();
  }

  /** keepPace is told the ms between two pictures. What has proved too fine is not tried again in the same motion. */
  keepPace(interval) {
    this.intervals.push(interval);
    if (this.intervals.length < 5) return;
    const middle = this.intervals.sort((a, b) => a - b)[2];
    this.intervals = [];
    if (middle > tooSlow) {
      this.pace = Math.min(this.pace + (middle > 3 * tooSlow ? 2 : 1), paces.length - 1);
      this.mayRefine = false;
    } else if (middle < atEase && this.mayRefine) {
      this.pace = Math.max(this.pace - 1, 0);
    }
  }
  intervals = [];
  interval = 0;
  mayRefine = true;

  render(fineness) {
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    if (width === 0 || height === 0) return;
    const ratio = Math.min(fineness.ratio * Math.max((window.devicePixelRatio || 1) / 2, 1), Math.max(Math.sqrt(8e6 / (width * height)), 1));
    if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
    if (this.width !== width || this.height !== height) {
      this.renderer.setSize(width, height, false);
      Object.assign(this, { width, height });
    }
    this.renderer.setScissorTest(true);
    this.frames().forEach((frame, k) => {
      const pane = this.panes[k];
      this.aim(frame);
      for (const wall of pane.walls) {
        const [x, y] = wall.userData.outward;
        wall.visible = x * (this.camera.position.x - x) + y * (this.camera.position.y - y) < 0;
      }
      pane.refine({ ...fineness, ratio });
      const fromBelow = height - frame.y - frame.height;
      this.renderer.setViewport(frame.x, fromBelow, frame.width, frame.height);
      this.renderer.setScissor(frame.x, fromBelow, frame.width, frame.height);
      this.renderer.setClearColor(rgbText(pane.look.ink.ground));
      this.renderer.render(pane.scene, this.camera);
    });
    this.afterDrawing();
  }

  /** project says where a point of a pane's box is, in CSS pixels; behind the camera it is null. */
  project(frame, x, y, z) {
    this.aim(frame);
    this.camera.updateMatrixWorld();
    const p = new THREE.Vector3(x, y, z).project(this.camera);
    return p.z > 1 ? null : { x: frame.x + (p.x + 1) * frame.width / 2, y: frame.y + (1 - p.y) * frame.height / 2 };
  }

  /** pick is what lies under a point of the screen: {pane, x, y} in the surface's coordinates, or null. */
  pick(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const px = clientX - box.left, py = clientY - box.top;
    const k = this.frames().findIndex((f) => px >= f.x && px < f.x + f.width && py >= f.y && py < f.y + f.height);
    const pane = this.panes[k];
    if (!pane || !pane.surface) return null;
    const frame = this.frames()[k];
    this.aim(frame);
    this.camera.updateMatrixWorld();
    pane.surface.geometry = pane.coarsened(1e5); // until the next picture: a ray tries every triangle
    const ray = new THREE.Raycaster();
    ray.setFromCamera(new THREE.Vector2(((px - frame.x) / frame.width) * 2 - 1, 1 - ((py - frame.y) / frame.height) * 2), this.camera);
    const hit = ray.intersectObject(pane.surface)[0];
    const p = hit ? hit.point : ray.ray.intersectPlane(new THREE.Plane(new THREE.Vector3(0, 0, 1), -floorHeight), new THREE.Vector3());
    if (!p || Math.abs(p.x) > pane.place.halfX || Math.abs(p.y) > pane.place.halfY) return null;
    return { pane: k, x: pane.place.fromX(p.x), y: pane.place.fromY(p.y) };
  }
}
