"""The web demo: `studio_avatar.ui.server.launch()` serves it."""
