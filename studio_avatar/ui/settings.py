"""Components of the settings, made from their declaration: the page's controls and the API's parameters."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from studio_avatar.results.settings import PRESETS, SETTINGS, CreationSettings, Setting

CHOICE_NAMES = {"arkit": "ARKit", "arkit+oculus": "ARKit and visemes"}
NUMBERED = re.compile(r"(\D+)0(\d)")  # styles of hair: "short01"


@dataclass(frozen=True)
class SettingControls:
    """The page's controls.

    values: name of a setting → its control.
    ticks: name of a setting that may stay unset → the tick that sets it.
    """

    values: dict[str, Component]
    ticks: dict[str, Component]

    def components(self, **instead: Component) -> list[Component]:
        """All of them, as an event's inputs; `instead` of a setting's own control another one, which sets it."""
        return [
            *(instead.get(name, control) for name, control in self.values.items()),
            *(gr.State(True) if name in instead else tick for name, tick in self.ticks.items()),
        ]

    def chosen(self, values: Sequence) -> CreationSettings:
        """The settings that the values of `components` say."""
        given = dict(zip(self.values, values))
        ticked = dict(zip(self.ticks, values[len(self.values) :], strict=True))
        return CreationSettings.chosen({name: given[name] for name in given if ticked.get(name, True)})


def setting_controls() -> SettingControls:
    """Put a preset and a control for each setting into the current column."""
    preset = gr.Radio(
        [(name.capitalize(), name) for name in PRESETS], value="standard", label="Preset",
        info="Turbo is a first look, best takes about twice as long. Sets the sliders below.",
    )  # fmt: skip
    values, ticks = {}, {}
    for name, setting in SETTINGS.items():
        if setting.unset:
            label, info, _ = setting.unset
            ticks[name] = gr.Checkbox(False, label=label, info=info, elem_id=f"set-{_id(setting)}")
        values[name] = setting_control(setting)
        if name in ticks:  # who moves it means it
            values[name].input(js="() => true", outputs=ticks[name], api_visibility="private")
    shared = [name for name, setting in SETTINGS.items() if setting.in_presets]
    preset.input(
        lambda chosen: [getattr(PRESETS[chosen], name) for name in shared],
        preset,
        [values[name] for name in shared],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    return SettingControls(values, ticks)


def setting_control(setting: Setting, **different) -> Component:
    """The control that fits the declaration: a choice, a slider, or a number; `different` are arguments to change."""
    value = setting.unset[-1] if setting.unset else setting.default
    looks = {
        "label": setting.label,
        "info": f"{setting.sentence}{' Needs the tick above.' if setting.unset else ''}",
        "elem_id": _id(setting),
        **different,
    }
    if setting.choices:
        return gr.Dropdown([(_named(choice), choice) for choice in setting.choices], value=value, **looks)
    if setting.slider:
        lowest, highest, step = setting.slider
        return gr.Slider(lowest, highest, value, step=step, **looks)
    if setting.type is str:
        return gr.Textbox(value, **looks)
    return gr.Number(value, precision=0 if setting.type is int else None, minimum=0, **looks)


def _named(choice: int | str) -> str:
    """A value as the page calls it."""
    if isinstance(choice, int):
        return f"{choice} × {choice}"
    return CHOICE_NAMES.get(choice, NUMBERED.sub(r"\1 \2", choice).capitalize())


def api_component(setting: Setting) -> Component:
    """The setting for API clients alone: the page's presets do not touch it."""
    if setting.type is str:
        hidden = {"value": setting.default, "label": setting.name, "visible": False}
        return gr.Dropdown(list(setting.choices), **hidden) if setting.choices else gr.Textbox(**hidden)
    lowest, highest = setting.limits
    precision = 0 if setting.type is int else None
    return gr.Number(
        setting.default,
        label=setting.name,
        precision=precision,
        minimum=lowest,
        maximum=highest,
        visible=False,
    )


def taking_settings(function: Callable) -> Callable:
    """`function`, with a parameter for each setting in the place of its parameter `settings`.

    gradio names an endpoint's parameters after the function's; the types of a signature that is made are read from
    `__annotations__`.
    """
    signature, parameters = inspect.signature(function), []
    for parameter in signature.parameters.values():
        parameters += map(_parameter, SETTINGS.values()) if parameter.name == "settings" else [parameter]

    @functools.wraps(function)
    def spread(*values):
        given = dict(zip((parameter.name for parameter in parameters), values))
        settings = CreationSettings.chosen({name: given.pop(name, None) for name in SETTINGS})
        return function(**given, settings=settings)

    spread.__signature__ = signature.replace(parameters=parameters)
    spread.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spread


def _parameter(setting: Setting) -> inspect.Parameter:
    # Without a default where gradio takes it from the component's value; words come after one that may stay unset.
    unset = setting.default is None
    has_default = unset or setting.type is str
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=setting.default if has_default else inspect.Parameter.empty,
        annotation=setting.type | None if unset else setting.type,
    )


def _id(setting: Setting) -> str:
    return setting.name.replace("_", "-")
