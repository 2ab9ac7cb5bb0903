"""The web demo: `python app.py`, `make app`, or a Hugging Face Space."""

from pathlib import Path

from studio_avatar.ui.app import launch

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    launch(weights=HERE / "weights_card", example=HERE / "examples" / "selfie.mp4")
