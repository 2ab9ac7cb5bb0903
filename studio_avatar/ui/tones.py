"""Skin tones to choose from, as a row of colored dots: nobody knows their typology angle."""

import gradio as gr
import torch

from studio_avatar.pipeline.skin_tone import SkinTone, tone_of_ita

# Name → typology angle [degrees] in the middle of Chardon's class.
TONES = {"Very light": 60, "Light": 47, "Intermediate": 34, "Tan": 19, "Brown": -10, "Dark": -45}
USUAL_LAB = (60.0, 14.0, 18.0)  # of skin; the dots differ from it by melanin


def tone_choice(elem_id: str, label: str) -> gr.Radio:
    """The row; its value is an angle, None until one is chosen."""
    return gr.Radio(list(TONES.items()), label=label, elem_id=elem_id, elem_classes=["tone-choice"])


def tone_css() -> str:
    """Style rules that give every dot its color."""
    rules = []
    for place, degrees in enumerate(TONES.values(), 1):
        tone = SkinTone(tuple(tone_of_ita(torch.tensor(USUAL_LAB), degrees).tolist()))
        rules.append(f".tone-choice label:nth-of-type({place})::before {{ background: rgb{tone.rgb}; }}")
    return "\n".join(rules)
