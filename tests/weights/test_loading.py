"""Variants, dtypes, devices and swapped parts, at both doors; on tiny networks."""

import contextlib
import io

import diffusers
import numpy as np
import pytest
import torch
from accelerate import cpu_offload_with_hook
from diffusers import DiffusionPipeline
from helpers.tiny_weights import FAST, WEIGHTS, phone, tiny_pipeline
from safetensors import safe_open

from studio_avatar.errors import InvalidInputError, WeightsError
from studio_avatar.hub.export import NETWORKS, export, write_variants
from studio_avatar.hub.repository import TWICE
from studio_avatar.pipeline.inversion import reconstruction_loss, shrink_observed
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline, to_tensor
from studio_avatar.weights.variants import PLAIN_FILE, variant_file

EXACT_BUFFERS = (
    "w_avg",
    "kernel",
    "noise_const",
    "code_mean",
    "code_components",
    "code_std",
    "neutral",
    "uv",
)


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


@pytest.fixture(scope="module")
def folder(tiny_weights):
    return tiny_weights


@pytest.fixture(scope="module")
def variants(folder, tmp_path_factory):
    """The folder as it is published: float32 and float16 files."""
    target = tmp_path_factory.mktemp("variants")
    write_variants(folder, target)
    return target


def remote_door(folder, **options):
    with contextlib.redirect_stderr(io.StringIO()):
        return DiffusionPipeline.from_pretrained(folder, trust_remote_code=True, **options)


DOORS = pytest.mark.parametrize(
    "door", [StudioTexturePipeline.from_pretrained, remote_door], ids=["own", "remote"]
)


def texture(pipe, **changes) -> bytes:
    pipe.set_progress_bar_config(disable=True)
    return pipe(**phone(), **{**FAST, "seed": 0, **changes}).texture.tobytes()


def float_dtypes(module) -> tuple[set, set]:
    """dtypes of a component's parameters, and of the buffers that must stay exact."""
    buffers = {
        buffer.dtype for name, buffer in module.named_buffers() if name.rpartition(".")[2] in EXACT_BUFFERS
    }
    return {parameter.dtype for parameter in module.parameters()}, buffers


def stored_dtypes(path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return {name: str(file.get_slice(name).get_dtype()) for name in file.keys()}


def test_published_files_are_float32_and_float16_with_float32_buffers(variants):
    for name in NETWORKS:
        full = stored_dtypes(variants / name / PLAIN_FILE)
        half = stored_dtypes(variants / name / variant_file("fp16"))
        assert full.keys() == half.keys() and "F16" not in full.values() and "F16" in half.values()
        kept = {key for key, dtype in half.items() if dtype == "F32"}
        assert {key.rpartition(".")[2] for key in full} & set(EXACT_BUFFERS) == {
            key.rpartition(".")[2] for key in kept
        } & set(EXACT_BUFFERS)
    assert not (variants / "head" / variant_file("fp16")).exists()


def test_where_each_network_has_one_file_the_smallest_has_it_twice(folder):
    twins = list(folder.glob(f"*/{variant_file('fp16')}"))
    assert [twin.parent.name for twin in twins] == [TWICE]
    assert twins[0].read_bytes() == (folder / TWICE / PLAIN_FILE).read_bytes()
    sizes = {name: path.stat().st_size for name in NETWORKS if (path := WEIGHTS / name / PLAIN_FILE).exists()}
    assert min(sizes, key=sizes.get) == TWICE


@DOORS
@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_every_variant_loads_in_every_dtype(door, variants, variant, dtype):
    pipe = door(variants, variant=variant, **({"dtype": dtype} if dtype else {}))
    for name in NETWORKS:
        parameters, buffers = float_dtypes(getattr(pipe, name))
        assert parameters == {dtype or torch.float32}
        assert buffers <= {torch.float32}
    assert float_dtypes(pipe.head) == (set(), {torch.float32})


@DOORS
def test_a_folder_without_variants_is_its_own_float16_variant(door, folder):
    assert texture(door(folder, variant="fp16")) == texture(door(folder))


def test_an_unknown_variant_is_named(folder):
    with pytest.raises(WeightsError, match="no variant 'ema'"):
        StudioTexturePipeline.from_pretrained(folder, variant="ema")


def test_half_stored_weights_give_the_same_bytes_in_every_variant(tmp_path):
    """The embedded weights are float16 already: publishing them as float32 adds no digits and loses none."""
    write_variants(WEIGHTS, tmp_path)
    loaded = [
        StudioTexturePipeline.from_pretrained(WEIGHTS),
        StudioTexturePipeline.from_pretrained(tmp_path),
        StudioTexturePipeline.from_pretrained(tmp_path, variant="fp16"),
    ]
    states = [pipe.studio_generator.state_dict() | pipe.unet.state_dict() for pipe in loaded]
    for key, tensor in states[0].items():
        assert torch.equal(tensor, states[1][key]) and torch.equal(tensor, states[2][key]), key


def test_half_precision_computes_close_to_float32(pipe, variants):
    half = StudioTexturePipeline.from_pretrained(variants, dtype=torch.float16)
    half.set_progress_bar_config(disable=True)
    # Few steps: L-BFGS lives on differences of gradients, in which rounding soon makes two ways of one.
    arguments = {**phone(), **FAST, "num_inversion_steps": 5, "seed": 0, "output_type": "np"}
    exact, close = pipe(**arguments), half(**arguments)
    assert np.abs(exact.reconstruction - close.reconstruction).max() < 0.02
    assert np.abs(exact.texture - close.texture).mean() < 0.01
    assert close.latents.dtype == np.float32 and np.isfinite(close.latents).all()


def test_half_precision_refines_as_well(pipe, variants):
    """Along another path, but to a picture just as near."""
    half = StudioTexturePipeline.from_pretrained(variants, dtype=torch.float16)
    rgb, seen = to_tensor(phone()["phone_texture"]), torch.from_numpy(phone()["seen"])[None, None].float()
    target, mask = shrink_observed(rgb, seen, pipe.base_resolution)
    exact = pipe.invert(rgb, seen, 15, lambda *_: None).reconstruction
    close = half.invert(rgb.half(), seen.half(), 15, lambda *_: None).reconstruction.float()
    assert reconstruction_loss(close, target, mask) < 1.1 * reconstruction_loss(exact, target, mask)


def test_a_cast_pipeline_keeps_its_tables(pipe):
    cast = tiny_pipeline().to(torch.float16)
    assert torch.equal(cast.phone_generator.mapping.w_avg, pipe.phone_generator.mapping.w_avg)
    assert torch.equal(cast.encoder.code_components, pipe.encoder.code_components)
    assert cast.phone_generator.dtype == cast.encoder.dtype == torch.float16


def test_device_map_is_one_device(folder):
    pipe = StudioTexturePipeline.from_pretrained(folder, device_map="cpu")
    assert pipe.device == torch.device("cpu")
    with pytest.raises(InvalidInputError, match="device_map"):
        StudioTexturePipeline.from_pretrained(folder, device_map="balanced")
    assert remote_door(folder, device_map="cpu").device == torch.device("cpu")


def test_unknown_arguments_are_refused(folder):
    with pytest.raises(InvalidInputError, match="torch_type"):
        StudioTexturePipeline.from_pretrained(folder, torch_type=torch.float16)
    StudioTexturePipeline.from_pretrained(folder, trust_remote_code=False)  # habit; changes nothing


def test_components_can_be_passed_in(folder, pipe):
    loaded = StudioTexturePipeline.from_pretrained(folder, unet=pipe.unet)
    assert loaded.unet is pipe.unet


def test_from_pipe_shares_the_components(pipe):
    scheduler = diffusers.FlowMatchHeunDiscreteScheduler()
    second = StudioTexturePipeline.from_pipe(pipe, scheduler=scheduler)
    assert second.unet is pipe.unet and second.scheduler is scheduler is not pipe.scheduler
    assert texture(StudioTexturePipeline.from_pipe(pipe)) == texture(pipe)


@pytest.fixture(scope="module")
def gentle_pipe():
    """Its UNet adds little, so that the path is nearly straight and every right scheduler ends at the same place."""
    pipe = tiny_pipeline()
    torch.nn.init.normal_(pipe.unet.conv_out.weight, std=0.002)
    return pipe


FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize(
    "scheduler",
    [
        diffusers.UniPCMultistepScheduler(**FLOW),
        diffusers.DPMSolverMultistepScheduler(**FLOW),
        diffusers.DPMSolverSinglestepScheduler(**FLOW),
        diffusers.FlowMatchHeunDiscreteScheduler(),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_schedulers_can_be_swapped(gentle_pipe, scheduler, steps):
    arguments = {**phone(), **FAST, "seed": 0, "output_type": "np", "num_inference_steps": steps}
    swapped = StudioTexturePipeline.from_pipe(gentle_pipe, scheduler=scheduler)
    swapped.set_progress_bar_config(disable=True)
    shares = []
    out = swapped(**arguments, progress_callback=lambda stage, share: shares.append((stage, share)))
    assert np.abs(out.texture - gentle_pipe(**arguments).texture).max() < 0.5 / 255
    assert shares[-1] == ("upscale", 1.0)


@pytest.mark.parametrize(
    "scheduler",
    [
        diffusers.DDIMScheduler(),
        diffusers.UniPCMultistepScheduler(),  # not set to flow
        diffusers.DEISMultistepScheduler(**FLOW),
        diffusers.SASolverScheduler(**FLOW),
        diffusers.DPMSolverMultistepScheduler(**FLOW, algorithm_type="sde-dpmsolver++"),
        diffusers.FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_a_scheduler_of_another_kind_is_refused(pipe, scheduler):
    wrong = StudioTexturePipeline.from_pipe(pipe, scheduler=scheduler)
    name = type(scheduler).__name__
    with pytest.raises(InvalidInputError, match=f"{name} does not do flow matching.*: use FlowMatchEuler"):
        wrong(**phone(), **FAST)


def test_compiled_components_give_the_same_texture(pipe):
    expected = texture(pipe)
    compiled = tiny_pipeline()
    compiled.unet = torch.compile(compiled.unet, backend="eager")
    generator = compiled.phone_generator  # the studio generator is of the same class, and needs no gradients
    generator.synthesize = torch.compile(generator.synthesize, backend="eager")
    assert texture(compiled) == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator: offloading works")
def test_cpu_offload_without_accelerator_says_so(pipe):
    for enable in (pipe.enable_model_cpu_offload, pipe.enable_sequential_cpu_offload):
        for device in (None, "cpu"):
            with pytest.raises(InvalidInputError, match="needs an accelerator, and there is none here: call"):
                enable(device=device)
    assert texture(pipe)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cpu_offload_on_an_accelerator(pipe):
    offloaded = tiny_pipeline()
    offloaded.enable_model_cpu_offload()
    offloaded.set_progress_bar_config(disable=True)
    out = offloaded(**phone(), **FAST, seed=0, output_type="np")
    assert np.abs(out.texture - pipe(**phone(), **FAST, seed=0, output_type="np").texture).mean() < 0.01
    assert offloaded.unet.device.type == "cpu"


def test_every_network_call_passes_the_offload_hooks():
    """Offloading watches `forward`; the networks' other methods must call the hook, too, or they would run on the CPU."""
    hooked, seen = tiny_pipeline(), []
    for name in NETWORKS:
        network, hook = cpu_offload_with_hook(getattr(hooked, name), execution_device=torch.device("cpu"))
        original = hook.hook.pre_forward

        def pre_forward(module, *args, name=name, original=original, **kwargs):
            seen.append(name)
            return original(module, *args, **kwargs)

        hook.hook.pre_forward = pre_forward
    texture(hooked)
    assert seen[0] == "cover_network" and set(seen) == set(NETWORKS) - {
        "registrar",
        "hair_segmenter",
    }  # which the capture uses
    assert (
        seen.count("phone_generator") == FAST["num_inversion_steps"] + 2
        and seen.count("studio_generator") == 1
    )


def test_export_writes_what_loads(pipe, folder, tmp_path):
    runs = tmp_path / "runs"
    stages = {
        "registrar": ("registrar",), "phone": ("phone_generator", "encoder"), "studio": ("studio_generator",),
        "cover": ("cover_network",), "tone": ("tone_estimator",),
        "relight": ("relight_network",), "upscaler": ("unet",),
    }  # fmt: skip
    for stage, names in stages.items():
        for name in names:
            getattr(pipe, name).save_pretrained(runs / stage / name)
    target = tmp_path / "card"
    with pytest.raises(WeightsError, match="has no head"):
        export(runs, target)
    for name in ("head", "hair_segmenter", "hair_styles"):  # baked and converted, not trained
        getattr(pipe, name).save_pretrained(target / name)
    export(runs, target)
    exported = StudioTexturePipeline.from_pretrained(target)
    parameters = dict(exported.unet.named_parameters())
    for name, parameter in pipe.unet.named_parameters():
        assert torch.equal(parameter.half().float(), parameters[name])
    assert str(tmp_path) not in (target / "unet" / "config.json").read_text()
