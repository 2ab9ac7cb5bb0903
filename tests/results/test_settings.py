"""A setting is declared once: the command line, the page and the API follow the declaration."""

import re
from dataclasses import asdict

import pytest

from studio_avatar.cli.main import main
from studio_avatar.errors import InvalidInputError
from studio_avatar.pipeline.skin_tone import ITA_RANGE
from studio_avatar.results.settings import PRESETS, SETTINGS, CreationSettings
from studio_avatar.ui.app import build_app
from studio_avatar.ui.service import AvatarService
from studio_avatar.ui.sessions import SessionFolders

# What programs that use the command line, the API and report.json rely on.
PUBLISHED = {
    "seed": 0,
    "steps": 4,
    "inversion_steps": 30,
    "guidance": 0.0,
    "size": 1024,
    "skin_tone": None,
    "hair": "auto",
    "shapes": "arkit",
    "rig": "none",
    "hair_color": "auto",
}


@pytest.fixture(scope="module")
def page():
    return build_app(AvatarService("nowhere", SessionFolders()), lambda function: function).blocks


def test_published_names_and_defaults_stay():
    assert asdict(CreationSettings()) == PUBLISHED
    assert {name: setting.default for name, setting in SETTINGS.items()} == PUBLISHED


@pytest.mark.parametrize("command", ["create", "batch"])
def test_every_setting_has_an_option(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = re.sub(r"-\s+", "-", " ".join(capsys.readouterr().out.split()))
    for setting in SETTINGS.values():
        assert setting.option in shown and re.sub(r"-\s+", "-", setting.help) in shown


def test_every_setting_is_on_the_page(page):
    controls = {component.elem_id: component for component in page.blocks.values() if component.elem_id}
    for name, setting in SETTINGS.items():
        control = controls[name.replace("_", "-")]
        assert (control.label, setting.sentence in control.info) == (setting.label, True)
        assert setting.unset or control.value == setting.default


def test_every_setting_is_a_parameter_of_the_api(page):
    endpoints = page.get_api_info()["named_endpoints"]
    for endpoint in ("/create_avatar", "/texture"):
        parameters = {entry["parameter_name"]: entry for entry in endpoints[endpoint]["parameters"]}
        for name, setting in SETTINGS.items():
            assert parameters[name]["parameter_has_default"]
            assert parameters[name]["parameter_default"] == setting.default


@pytest.mark.parametrize(("ticked", "tone"), [(True, -30.0), (False, None)])
def test_a_setting_that_may_stay_unset_counts_only_when_it_is_ticked(ticked, tone):
    from studio_avatar.ui.settings import SettingControls

    controls = SettingControls(dict.fromkeys(SETTINGS), {"skin_tone": None})
    settings = controls.chosen([3, 4.0, 30.0, 0.5, "1024", -30, "bob01", "arkit", "none", "auto", ticked])
    assert settings == CreationSettings(seed=3, guidance=0.5, skin_tone=tone, hair="bob01")


@pytest.mark.parametrize("color", ["brown", "#12345", "#12345g", ""])
def test_a_color_of_hair_that_is_none_is_refused_before_anything_is_loaded(color):
    with pytest.raises(
        InvalidInputError, match="--hair-color is red, green and blue of the hair, such as #3b2616"
    ):
        SETTINGS["hair_color"].check(color)


def test_an_emptied_number_is_the_default():
    assert CreationSettings.chosen({"seed": None, "steps": 2.0}) == CreationSettings(steps=2)


def test_presets_change_only_what_the_page_then_sets():
    for preset in PRESETS.values():
        for name, value in asdict(preset).items():
            assert SETTINGS[name].in_presets or value == PUBLISHED[name]


def test_the_skin_tone_ranges_over_what_the_pipeline_takes():
    assert SETTINGS["skin_tone"].slider[:2] == ITA_RANGE
