"""The exported head in Blender, headless. Run it with a Python that has bpy, which need not be the project's own:

    python3.13 -m venv blender && blender/bin/pip install bpy==5.2.3
    blender/bin/python benchmarks/blender.py out/selfie/avatar.glb --out blender.png

Prints what Blender found and renders the head (Cycles, CPU) with the jaw open and the left eye closed.
"""

import argparse
import json
import math
from pathlib import Path

import bpy

POSE = {"jawOpen": 0.5, "eyeBlinkLeft": 1.0}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("glb", type=Path)
    parser.add_argument("--out", type=Path, help="PNG to render")
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(options.glb.resolve()))
    head = bpy.data.objects["head"]  # hair, and the shape that bones are drawn with, are meshes, too
    keys = head.data.shape_keys.key_blocks
    found = {
        "blender": bpy.app.version_string,
        "shape_keys": [key.name for key in keys if key.name != "Basis"],
        "triangles": len(head.data.polygons),
        "height_metres": round(head.dimensions.z, 4),
        "images": {image.name: image.colorspace_settings.name for image in bpy.data.images},
        "actions": [action.name for action in bpy.data.actions],
    }
    print(json.dumps(found))
    if options.out is not None:
        render(head, keys, options.out.resolve(), options.samples)


def render(head, keys, path: Path, samples: int) -> None:
    """A portrait from the front: Blender's Z is up, the face looks along -Y."""
    scene = bpy.context.scene
    head.animation_data_clear()
    head.data.shape_keys.animation_data_clear()
    for name, value in POSE.items():
        keys[name].value = value
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0.12, -0.85, 0.0), (math.radians(90), 0, math.radians(8))
    camera.data.lens = 60
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "AREA"))
    lamp.location, lamp.rotation_euler = (-0.6, -0.8, 0.6), (math.radians(55), 0, math.radians(-37))
    lamp.data.energy, lamp.data.size = 12, 0.5
    for thing in (camera, lamp):
        scene.collection.objects.link(thing)
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.35, 0.35, 0.37, 1)
    scene.world, scene.camera = world, camera
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", samples
    scene.render.resolution_x, scene.render.resolution_y = 384, 480
    scene.render.threads_mode, scene.render.threads = "FIXED", 2
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main()
