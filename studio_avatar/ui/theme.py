"""Colours, type and spacing of the page: photographic greys and the orange of a tungsten lamp.

System fonts only: the page asks nothing of any other server.
"""

SYSTEM_FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

CSS = """
.gradio-container { max-width: 1320px !important; width: 100%; margin: 0 auto; }
#masthead h1 { font-size: 1.75rem; letter-spacing: -0.02em; margin: 0 0 .25rem; }
#masthead p { color: var(--body-text-color-subdued); margin: 0; max-width: 46rem; }
#capture video { max-height: 300px; }
#guide ul { margin: 0; padding-left: 1.1rem; }
#guide li { margin: .15rem 0; }
#example video { height: 112px; max-height: 112px; object-fit: cover; }
#status .stages { list-style: none; margin: 0; padding: 0; font-size: .9rem; min-height: 2.5rem;
  display: flex; flex-wrap: wrap; align-items: center; align-content: center; gap: .35rem 1rem; }
.stages li { display: flex; align-items: center; gap: .35rem; }
.stages .done { color: var(--body-text-color-subdued); }
.stages .done::before { content: "✓"; }
.stages .running { flex: 1; min-width: 12rem; font-weight: 600; gap: .75rem; white-space: nowrap; }
.stages .bar { flex: 1; max-width: 16rem; height: 6px; border-radius: 3px; overflow: hidden;
  background: var(--border-color-primary); }
.stages .bar > span { display: block; height: 100%; background: var(--primary-500);
  transition: width .3s ease; }
#status .notice { margin: 0; min-height: 2.5rem; display: flex; align-items: center; }
#report .summary { margin: 0 0 .6rem; font-weight: 600; }
#report .findings { margin: 0; display: grid; gap: 0 2rem; font-size: .9rem;
  grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
.findings > div { display: grid; grid-template-columns: 1.2rem 1fr auto; align-content: start;
  padding: .4rem 0;
  border-top: 1px solid var(--border-color-primary); }
.findings dd { margin: 0; font-variant-numeric: tabular-nums; color: var(--body-text-color-subdued); }
.findings .advice { grid-column: 2 / -1; color: var(--body-text-color); }
.findings > div::before { content: "✓"; color: var(--body-text-color-subdued); }
.findings > .fair::before { content: "△"; color: var(--primary-600); }
.findings > .poor::before { content: "▲"; color: var(--primary-600); }
"""


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
