"""Skin tones to choose from, as a row of colored dots: nobody knows their typology angle."""

import gradio as gr
import torch

from studio_avatar.pipeline.skin_tone import SkinTone, tone_of_ita

USUAL_LAB = (60.0, 14.0, 18.0)  # of skin; the dots differ from it by melanin
# Typology angles [degrees], about in the middle of each of Chardon's classes.
ANGLES = (60, 47, 34, 19, -10, -45)


def tone_choice(elem_id: str, label: str) -> gr.Radio:
    """The row; its value is an angle, None until one is chosen."""
    names = [(tone.name.capitalize(), degrees) for tone, degrees in zip(_tones(), ANGLES, strict=True)]
    return gr.Radio(names, label=label, elem_id=elem_id, elem_classes=["tone-choice"])


def tone_css() -> str:
    """Style rules that give every dot its color."""
    return "\n".join(
        f".tone-choice label:nth-of-type({place})::before {{ background: rgb{tone.rgb}; }}"
        for place, tone in enumerate(_tones(), 1)
    )


def _tones() -> list[SkinTone]:
    usual = torch.tensor(USUAL_LAB)
    return [SkinTone(tuple(tone_of_ita(usual, degrees).tolist())) for degrees in ANGLES]
