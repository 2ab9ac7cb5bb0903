"""The page's components, without what they do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from studio_avatar.results.settings import SETTINGS

from . import presentation
from .settings import SettingControls, setting_control, setting_controls
from .tones import tone_choice

PHOTO_TYPES = ["image", ".heic", ".heif"]
CAPTURE_HEIGHT = 300
# A mirrored recording would be re-encoded by ffmpeg; page.css mirrors the live picture alone.
WEBCAM = gr.WebcamOptions(
    mirror=False,
    constraints={"video": {"facingMode": "user", "width": {"ideal": 1280}, "height": {"ideal": 720}}},
)

MASTHEAD = """
<h1>Studio Avatar</h1>
<p>Film your face with a phone. Get it back as a complete, evenly lit texture on a head that you can animate.</p>
<ol class="path"><li><b>Film</b> five to ten seconds</li><li><b>Check</b> the capture at once</li>
<li><b>Light it</b> as you like, download it</li></ol>
"""

GUIDE = """
<ul><li>Phone at arm's length, at the height of your eyes.</li>
<li>Turn your head slowly left, then right; look up and down once.</li>
<li>Soft light from the front. Glasses off, hair out of the face, mouth closed.</li></ul>
"""

# Drawn over the camera's picture; page.css shows it while the camera is on, filming.js counts and lets the prompts run.
CAMERA_GUIDE = """
<div aria-hidden="true">
<svg viewBox="0 0 300 225" preserveAspectRatio="xMidYMid slice"><ellipse cx="150" cy="97" rx="58" ry="75"/></svg>
<b class="count"></b>
<p><span>Face in the oval, then Record</span>
<span>Look into the camera</span><span>Turn slowly left</span><span>Turn slowly right</span>
<span>Look up, then down</span></p>
</div>
"""

# page.js shows it, with the reason, where there is no camera to be had.
NO_CAMERA = """
<div role="alert"><p></p><button type="button">Film with the camera app, or choose a video</button></div>
"""

WELCOME_PICTURE = Path(__file__).parent / "static" / "welcome.jpg"  # written by benchmarks/screenshots.py

PRIVACY = """
<p>Nothing leaves the machine that runs this page. Your files are deleted when you close its last tab, and after an hour.
Only make avatars of people who agreed.</p>
"""

# As the command line's options; `pack_settings` of app.py reads the names.
MORE_FILES = {
    "preview": "Picture under three lights (PNG)",
    "light": "Light head, 5,000 triangles (GLB)",
    "animation": "Filmed expressions as an animation (in the GLB)",
    "obj": "OBJ with MTL and pictures",
    "folder": "Plain folder with arrays (NPZ, JSON)",
    "vrm": "VRM 1.0 avatar with bones and visemes",
    "turntable": "Turning film (MP4)",
}

CREATE, CREATE_ANYWAY = "Create avatar", "Create anyway"
READY = "Film yourself, or try an example: the capture is checked at once, the avatar takes a minute."


@dataclass(frozen=True)
class Inputs:
    """Components that the user fills in."""

    camera: gr.Video
    video: gr.Video
    photos: gr.File
    tabs: gr.Tabs
    source: gr.State  # the open tab: "camera", "video" or "photos"
    settings: SettingControls

    def captures(self) -> list:
        """The components of which one holds the capture, and which one does."""
        return [self.camera, self.video, self.photos, self.source]


@dataclass(frozen=True)
class Actions:
    """Buttons that start and stop work."""

    create: gr.Button
    cancel: gr.Button
    handover: gr.Button
    examples: dict[str, gr.Button]


@dataclass(frozen=True)
class Outputs:
    """Components that show where a run is and what came of it."""

    handover_code: gr.HTML
    status: gr.HTML
    previews: gr.HTML
    welcome: gr.HTML
    ask_tone: gr.Column
    tone_question: gr.HTML
    tone_answer: gr.Radio
    check_group: gr.Column
    check_card: gr.HTML
    check_pictures: gr.HTML
    result_group: gr.Column
    head: gr.HTML
    still: gr.Button
    compare: gr.HTML
    downloads: gr.Row
    texture_file: gr.DownloadButton
    head_file: gr.DownloadButton
    archive_file: gr.DownloadButton
    tones: gr.HTML
    tone_dots: gr.Radio
    tone_correction: gr.Slider
    other_hair: gr.Dropdown
    hair_color: gr.ColorPicker
    other_shapes: gr.Dropdown
    make_again: gr.Button
    account: gr.HTML
    address: gr.HTML
    more_files: gr.CheckboxGroup
    pack: gr.Button
    pack_file: gr.DownloadButton

    def files(self) -> list[gr.DownloadButton]:
        """The download buttons."""
        return [self.texture_file, self.head_file, self.archive_file]


def capture_tabs() -> list:
    """Where the capture comes from: camera, video, photos, the tabs, and which is open."""
    source = gr.State("camera")
    # include_audio: leaving the sound out would re-encode every upload
    with gr.Tabs(elem_id="capture") as tabs:
        with gr.Tab("Camera", id="camera") as camera_tab:
            camera = gr.Video(
                label="Film yourself", show_label=False, sources=["webcam"], include_audio=True, elem_id="camera",
                height=CAPTURE_HEIGHT, buttons=[], webcam_options=WEBCAM,
            )  # fmt: skip
            gr.HTML(CAMERA_GUIDE, elem_id="camera-guide")
            gr.HTML(NO_CAMERA, elem_id="no-camera")
        with gr.Tab("Video", id="video") as video_tab:
            video = gr.Video(
                label="Selfie video", show_label=False, sources=["upload"], include_audio=True, elem_id="video",
                height=CAPTURE_HEIGHT, buttons=[],
            )  # fmt: skip
        with gr.Tab("Photos", id="photos") as photos_tab:
            photos = gr.File(
                label="One to five photos of one person", file_count="multiple", file_types=PHOTO_TYPES,
                height=CAPTURE_HEIGHT, elem_id="photos",
            )  # fmt: skip
    for name, tab in (("camera", camera_tab), ("video", video_tab), ("photos", photos_tab)):
        tab.select(lambda name=name: name, outputs=source, queue=False, api_visibility="private")
    return [camera, video, photos, tabs, source]


def handover_part() -> tuple[gr.Button, gr.HTML]:
    """What lets a phone film for this page; page.css shows it where that can work."""
    button = gr.Button("Film with your phone", size="md", elem_id="handover")
    return button, gr.HTML(elem_id="handover-code")


def settings_accordion() -> SettingControls:
    """The settings; closed until wanted."""
    with gr.Accordion("Settings", open=False, elem_id="settings"):
        return setting_controls()


def action_row() -> tuple[gr.Button, gr.Button]:
    """Create and Cancel."""
    with gr.Row(elem_id="actions"):
        create = gr.Button(CREATE, variant="primary", scale=3, min_width=160, elem_id="create")
        cancel = gr.Button("Cancel", interactive=False, scale=1, min_width=90, elem_id="cancel")
    return create, cancel


def output_column(handover_code: gr.HTML, finished_heads: Sequence[Path]) -> Outputs:
    """Status on top, below it what there is to see.

    handover_code: stands beside the form. finished_heads: see `Examples`.
    """
    status = gr.HTML(presentation.notice(READY), elem_id="status")
    previews = gr.HTML(elem_id="previews", visible=False)
    welcome = gr.HTML(presentation.welcome(WELCOME_PICTURE, finished_heads), elem_id="welcome")
    with gr.Column(visible=False, elem_id="ask-tone") as ask_tone:
        tone_question = gr.HTML()
        tone_answer = tone_choice("tone-answer", "Which is closest?")
    with gr.Row(visible=False, elem_id="downloads") as downloads:
        texture_file, head_file, archive_file = (
            gr.DownloadButton(label, interactive=False, size="md", min_width=140, elem_id=name)
            for name, label in (
                ("texture-file", "Texture (PNG)"), ("head-file", "Head (GLB)"), ("archive-file", "Everything (ZIP)"),
            )
        )  # fmt: skip
    with gr.Column(visible=False, elem_id="result") as result_group:
        head = gr.HTML(elem_id="head")
        still = gr.Button("Show a picture", elem_id="still")  # hidden by page.css, pressed by head_viewer.js
        with gr.Row():
            with gr.Column(min_width=300, scale=5):
                compare = gr.HTML(elem_id="compare")
            with gr.Column(min_width=280, scale=4):
                tones = gr.HTML(elem_id="tones")
                tone_dots = tone_choice("tone-dots", "Not your tone?")
                tone_correction = setting_control(
                    SETTINGS["skin_tone"], label="Finer", info="−60 is dark, 65 very light.", elem_id="tone-correction"
                )  # fmt: skip
                with gr.Row():
                    other_hair, other_shapes = (
                        setting_control(SETTINGS[name], info=None, elem_id=f"other-{name}", min_width=120)
                        for name in ("hair", "shapes")
                    )
                    hair_color = gr.ColorPicker(label="Hair color", elem_id="other-hair-color", min_width=120)
                make_again = gr.Button("Make it again like this", size="md", elem_id="make-again")
                account = gr.HTML(elem_id="account")
                address = gr.HTML(elem_id="address")
                with gr.Accordion("More files", open=False, elem_id="more"):
                    more_files = gr.CheckboxGroup(
                        [(label, name) for name, label in MORE_FILES.items()], show_label=False,
                        value=["preview", "light", "animation"], elem_id="more-files",
                    )  # fmt: skip
                    pack = gr.Button("Make them", size="md", elem_id="pack")
                    pack_file = gr.DownloadButton(
                        "Everything and these (ZIP)", visible=False, size="md", elem_id="pack-file"
                    )
    with gr.Column(visible=False, elem_id="check") as check_group:
        with gr.Row():
            with gr.Column(min_width=280, scale=4):
                check_card = gr.HTML(elem_id="check-card")
            with gr.Column(min_width=300, scale=5):
                check_pictures = gr.HTML(elem_id="check-pictures")
    return Outputs(
        handover_code, status, previews, welcome, ask_tone, tone_question, tone_answer, check_group, check_card,
        check_pictures, result_group, head, still, compare, downloads, texture_file, head_file, archive_file, tones,
        tone_dots, tone_correction, other_hair, hair_color, other_shapes, make_again, account, address, more_files, pack,
        pack_file,
    )  # fmt: skip
