// What the page takes of three: page/scene.js is the only user.
export {
  BufferAttribute, BufferGeometry, Color, DataTexture, DoubleSide, Group, InstancedMesh, LineBasicMaterial, LineSegments, LinearFilter,
  Matrix4, Mesh, MeshBasicMaterial, NoColorSpace, PerspectiveCamera, Plane, Raycaster, RGBAFormat, Scene, ShaderMaterial,
  SphereGeometry, SRGBColorSpace, Vector2, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { LineSegments2 } from "three/addons/lines/LineSegments2.js";
export { LineSegmentsGeometry } from "three/addons/lines/LineSegmentsGeometry.js";
export { LineMaterial } from "three/addons/lines/LineMaterial.js";
