"""Colors, type and spacing of gradio's components: photographic greys and the orange of a tungsten lamp.

System fonts only: the page asks nothing of any other server.
"""

SYSTEM_FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def studio_theme():
    """The gradio theme; light and dark follow the visitor's system."""
    import gradio as gr

    tungsten = gr.themes.Color(
        c50="#fdf4ee", c100="#fbe5d6", c200="#f6c7aa", c300="#f0a477", c400="#ea8450", c500="#d9662c",
        c600="#bf5220", c700="#9c411b", c800="#7b361a", c900="#632e18", c950="#36160a",
        name="tungsten",
    )  # fmt: skip
    return gr.themes.Base(
        primary_hue=tungsten,
        secondary_hue="stone",
        neutral_hue="stone",
        radius_size=gr.themes.sizes.radius_md,
        font=list(SYSTEM_FONT),
        font_mono=list(SYSTEM_MONO),
    ).set(
        body_background_fill="*neutral_50",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_shadow="none",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_text_color="white",
    )
