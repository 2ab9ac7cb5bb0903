"""The web demo: `python app.py`, `make app`, or a Hugging Face Space. Its weights are in weights_card/ beside it."""

from pathlib import Path

from studio_avatar.ui.app import launch

if __name__ == "__main__":
    launch(example=Path(__file__).resolve().parent / "examples" / "selfie.mp4")
