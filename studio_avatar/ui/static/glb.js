// Reading the GLB that `studio_avatar.avatar` writes: the head, plain or sparse accessors, morph
// targets with names, and perhaps a mesh "hair". It is no general glTF reader.

const ARRAYS = { 5126: Float32Array, 5123: Uint16Array, 5125: Uint32Array };
const WIDTHS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };

async function readGlb(address) {
  const bytes = await (await fetched(address)).arrayBuffer();
  const header = new DataView(bytes), jsonLength = header.getUint32(12, true);
  const json = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 20, jsonLength)));
  return { json, bytes, start: 20 + jsonLength + 8 };
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error("The files of this avatar are gone: they are deleted after an hour. Make it again.");
  return answer;
}

function view(glb, index, type, count, offset = 0) {
  const at = glb.start + (glb.json.bufferViews[index].byteOffset || 0) + offset;
  return new ARRAYS[type](glb.bytes, at, count);
}

function accessor(glb, index) {
  const entry = glb.json.accessors[index], length = entry.count * WIDTHS[entry.type];
  const values = entry.bufferView === undefined ? new ARRAYS[entry.componentType](length)
    : view(glb, entry.bufferView, entry.componentType, length, entry.byteOffset).slice();
  if (entry.sparse) {
    const { count, indices, values: changed } = entry.sparse, width = WIDTHS[entry.type];
    const rows = view(glb, indices.bufferView, indices.componentType, count, indices.byteOffset);
    const data = view(glb, changed.bufferView, entry.componentType, count * width, changed.byteOffset);
    rows.forEach((row, i) => { for (let c = 0; c < width; c++) values[row * width + c] = data[i * width + c]; });
  }
  return values;
}

// A morph target as the few rows that move: [{rows, position, normal}].
function moved(positions, normals) {
  const rows = [];
  for (let i = 0; i < positions.length / 3; i++) {
    const at = 3 * i;
    if (positions[at] || positions[at + 1] || positions[at + 2]) rows.push(i);
  }
  const pick = (from) => Float32Array.from(rows.flatMap((r) => from ? [...from.subarray(3 * r, 3 * r + 3)] : [0, 0, 0]));
  return { rows, position: pick(positions), normal: pick(normals) };
}

function readMesh(glb) {
  const mesh = glb.json.meshes[0], names = (mesh.extras && mesh.extras.targetNames) || [];
  const parts = mesh.primitives.map((primitive) => ({
    position: accessor(glb, primitive.attributes.POSITION),
    normal: accessor(glb, primitive.attributes.NORMAL),
    uv: accessor(glb, primitive.attributes.TEXCOORD_0),
    tangent: accessor(glb, primitive.attributes.TANGENT),
    index: accessor(glb, primitive.indices),
    material: glb.json.materials[primitive.material || 0],
    targets: (primitive.targets || []).map((target) =>
      moved(accessor(glb, target.POSITION), target.NORMAL === undefined ? null : accessor(glb, target.NORMAL))),
  }));
  return { names, parts, hair: readHair(glb), filmed: (mesh.extras && mesh.extras.captureExpressions) || [] };
}

// The hair's cards; their colors travel where the skin has its tangents.
function readHair(glb) {
  const mesh = glb.json.meshes.find((entry) => entry.name === "hair");
  if (!mesh) return null;
  const [primitive] = mesh.primitives, colors = accessor(glb, primitive.attributes.COLOR_0);
  const paint = new Float32Array(colors.length / 3 * 4).fill(1);
  for (let i = 0; i < colors.length; i++) paint[4 * Math.floor(i / 3) + i % 3] = colors[i];
  return {
    position: accessor(glb, primitive.attributes.POSITION),
    normal: accessor(glb, primitive.attributes.NORMAL),
    uv: accessor(glb, primitive.attributes.TEXCOORD_0),
    tangent: paint,
    index: accessor(glb, primitive.indices),
    material: glb.json.materials[primitive.material],
    targets: [],
  };
}

// reference: a material's `baseColorTexture` or another of its textures.
function imageOf(glb, reference) {
  const texture = glb.json.textures[reference.index];
  const image = glb.json.images[texture.source], place = glb.json.bufferViews[image.bufferView];
  const data = new Uint8Array(glb.bytes, glb.start + (place.byteOffset || 0), place.byteLength);
  return decoded(new Blob([data], { type: image.mimeType }));
}

const decoded = (blob) => createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
const pictureAt = async (address) => decoded(await (await fetched(address)).blob());
