"""three.js in headless Chromium: loads a GLB from a local folder and answers questions about it."""

import functools
import io
import shutil
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

SIZE = 384
# A lit scene and a camera in front of the head, common to both pages; SIZE is replaced.
OPENING = """<!doctype html><html><body style="margin:0"><script type="importmap">
{"imports": {"three": "./node_modules/three/build/three.module.js",
             "loader": "./node_modules/three/examples/jsm/loaders/GLTFLoader.js",
             "vrm": "./node_modules/@pixiv/three-vrm/lib/three-vrm.module.js"}}</script>
<script type="module">
import * as THREE from 'three';
import { GLTFLoader } from 'loader';
const renderer = new THREE.WebGLRenderer({ preserveDrawingBuffer: true, antialias: true });
renderer.setSize(SIZE, SIZE);
document.body.appendChild(renderer.domElement);
const scene = new THREE.Scene();
scene.background = new THREE.Color(0x808080);
scene.add(new THREE.HemisphereLight(0xffffff, 0x888888, 2.0));
const key = new THREE.DirectionalLight(0xffffff, 2.0);
key.position.set(-1, 1, 2);
scene.add(key);
const camera = new THREE.PerspectiveCamera(26, 1, 0.01, 10);
camera.position.set(0, 0, 0.78);
camera.lookAt(0, -0.01, 0);
"""
CLOSING = "</script></body></html>"
PAGE = (
    OPENING
    + """const gltf = await new GLTFLoader().loadAsync('avatar.glb');
scene.add(gltf.scene);
let head;
gltf.scene.traverse(object => { if (object.isMesh) head = object; });
const mixer = new THREE.AnimationMixer(gltf.scene);
window.answers = {
  names: Object.keys(head.morphTargetDictionary),
  vertices: head.geometry.attributes.position.count,
  triangles: head.geometry.index.count / 3,
  targets: head.geometry.morphAttributes.position.length,
  clips: gltf.animations.map(clip => [clip.name, clip.duration]),
  colourSpace: head.material.map.colorSpace,
  pose(name, value) {
    head.morphTargetInfluences.fill(0);
    if (name) head.morphTargetInfluences[head.morphTargetDictionary[name]] = value;
    renderer.render(scene, camera);
  },
  play(seconds) {
    mixer.clipAction(gltf.animations[0]).play();
    mixer.setTime(seconds);
    renderer.render(scene, camera);
    return [Array.from(head.morphTargetInfluences), head.quaternion.toArray()];
  },
  project(points) {
    const vector = new THREE.Vector3();
    return points.map(p => { vector.set(...p).project(camera); return [vector.x, vector.y]; });
  },
  texture() {
    const image = head.material.map.image, canvas = document.createElement('canvas');
    canvas.width = image.width; canvas.height = image.height;
    const context = canvas.getContext('2d', { colorSpace: 'srgb' });
    context.drawImage(image, 0, 0);
    return canvas.toDataURL('image/png');
  },
};
"""
    + CLOSING
)
VRM_PAGE = (
    OPENING
    + """import { VRMLoaderPlugin } from 'vrm';
const loader = new GLTFLoader();
loader.register((parser) => new VRMLoaderPlugin(parser));
const { vrm } = (await loader.loadAsync('avatar.glb')).userData;
scene.add(vrm.scene);
const target = new THREE.Object3D();
scene.add(target);
vrm.lookAt.target = target;
let head;
vrm.scene.traverse((object) => { if (object.isSkinnedMesh) head = object; });
window.answers = {
  meta: vrm.meta,
  bones: Object.keys(vrm.humanoid.humanBones),
  expressions: Object.keys(vrm.expressionManager.expressionMap),
  // Expressions, degrees that the head turns to its left, where the eyes look -> weights of the targets, gaze of an eye.
  pose(expressions, degrees, at) {
    vrm.expressionManager.resetValues();
    for (const name in expressions) vrm.expressionManager.setValue(name, expressions[name]);
    vrm.humanoid.getNormalizedBoneNode('head').rotation.y = degrees * Math.PI / 180;
    target.position.set(...at);
    for (let round = 0; round < 2; round++) {  // the gaze follows from where head and target were
      vrm.scene.updateMatrixWorld();
      target.updateMatrixWorld();
      vrm.update(0.02);
    }
    renderer.render(scene, camera);
    const weights = {}, names = head.morphTargetDictionary;
    for (const name in names) {
      if (head.morphTargetInfluences[names[name]]) weights[name] = head.morphTargetInfluences[names[name]];
    }
    const eye = vrm.humanoid.getRawBoneNode('leftEye');
    const gaze = new THREE.Vector3(0, 0, 1).applyQuaternion(eye.getWorldQuaternion(new THREE.Quaternion()));
    const front = head.geometry.attributes.position;
    let nose = 0;
    for (let i = 0; i < front.count; i++) if (front.getZ(i) > front.getZ(nose)) nose = i;
    return { weights, gaze: gaze.toArray(), nose: head.getVertexPosition(nose, new THREE.Vector3()).toArray() };
  },
};
"""
    + CLOSING
)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def find_chromium() -> str | None:
    """Path of an installed Chromium or Chrome, or None."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        None,
    )


class Viewer:
    """One loaded GLB; `ask(javascript)` evaluates an expression over `window.answers`."""

    def __init__(self, page):
        self._page = page

    def ask(self, expression: str, argument=None):
        return self._page.evaluate(f"argument => window.answers.{expression}", argument)

    def screenshot(self) -> np.ndarray:
        """(SIZE, SIZE, 3) uint8."""
        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(self._page.screenshot())).convert("RGB"))

    def texture(self) -> np.ndarray:
        """(H, W, 3) uint8: the base color picture as the browser decoded it."""
        import base64

        from PIL import Image

        data = self.ask("texture()").split(",", 1)[1]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


@contextmanager
def three_viewer(glb: Path, node_folder: Path, folder: Path, page_text: str = PAGE):
    """Serve `glb` with three.js from `folder` on this machine and open it in headless Chromium; or with `VRM_PAGE`."""
    (folder / "index.html").write_text(page_text.replace("SIZE", str(SIZE)))
    shutil.copy(glb, folder / "avatar.glb")
    (folder / "node_modules").symlink_to(node_folder / "node_modules")
    with browser_of(folder) as (browser, address):
        page = browser.new_page(viewport={"width": SIZE, "height": SIZE})
        page.goto(f"{address}/index.html")
        page.wait_for_function("window.answers !== undefined", timeout=60_000)
        yield Viewer(page)


@contextmanager
def browser_of(folder: Path):
    """Headless Chromium that draws without a graphics card, and the address at which it finds the files of a folder."""
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(),
                args=["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"],
            )
            yield browser, f"http://127.0.0.1:{server.server_port}"
            browser.close()
    finally:
        server.shutdown()
