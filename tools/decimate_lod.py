"""Choose the vertices of the light level of detail, once, on the mean head: `python -m tools.decimate_lod`."""

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np

from studio_avatar.avatar.export.lod import TOPOLOGY_FILE, light_topology
from studio_avatar.avatar.shapes.mesh import avatar_mesh
from studio_avatar.imaging.files import write_atomically


def main(arguments=None):
    from safetensors.numpy import save

    from studio_avatar.head.model import HeadModel

    parser = argparse.ArgumentParser(description="Choose the vertices of the light level of detail.")
    parser.add_argument("--head", default="weights_card/head", help="folder of the baked head")
    parser.add_argument(
        "--out", type=Path, default=TOPOLOGY_FILE, help="file to write (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    head = HeadModel.from_pretrained(options.head)
    topology = light_topology(head)
    tensors = {field.name: getattr(topology, field.name).astype(np.int16) for field in fields(topology)}
    full = avatar_mesh(head, np.zeros(head.config.num_identity, np.float32))
    tensors["full_vertices"] = np.array([len(full.vertices)], np.int32)
    write_atomically(options.out, save(tensors))
    print(f"{options.out.name}: {len(topology.faces)} triangles, {len(topology.vertex)} vertices")


if __name__ == "__main__":
    main()
