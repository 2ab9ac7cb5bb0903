"""The web demo: `studio_avatar.ui.app.launch()` serves it."""
