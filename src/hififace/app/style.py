"""How the page looks: `assets/page.css`, and the same colours for what Gradio draws. WCAG AA: 4.5 to 1."""

from __future__ import annotations

from typing import Any, Final

from hififace.app.assets import asset

HEAD_STYLE: Final = f"<style>{asset('page.css')}</style>"
"""Not Gradio's `css`, of which every rule is confined to what lies inside the page's container."""


def theme(gr: Any) -> Any:
    """Gradio's parts in the colours and the type of the page; the fonts lie in Gradio's own package."""
    sans = [gr.themes.utils.fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"]
    mono = ["ui-monospace", "monospace"]  # for numbers in a few small boxes, not worth a font to load
    base = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", radius_size="lg", font=sans, font_mono=mono
    )
    both = {
        "body_background_fill": "var(--hf-bg)",
        "body_text_color": "var(--hf-ink)",
        "body_text_color_subdued": "var(--hf-soft)",
        "background_fill_primary": "var(--hf-card)",
        "background_fill_secondary": "var(--hf-bg)",
        "block_background_fill": "var(--hf-card)",
        "block_border_color": "var(--hf-line)",
        "border_color_primary": "var(--hf-line)",
        "block_border_width": "1px",
        "block_shadow": "none",
        "block_label_text_color": "var(--hf-soft)",
        "block_label_background_fill": "var(--hf-card)",
        "block_title_text_color": "var(--hf-ink)",
        "block_info_text_color": "var(--hf-soft)",
        "color_accent_soft": "var(--hf-tint)",
        "slider_color": "var(--hf-accent)",
        "input_background_fill": "var(--hf-bg)",
        "input_border_color": "var(--hf-line)",
        "input_placeholder_color": "var(--hf-soft)",
        "checkbox_background_color": "var(--hf-card)",
        "checkbox_background_color_selected": "#0b6b66",
        "checkbox_border_color": "var(--hf-soft)",
        "checkbox_border_color_selected": "#0b6b66",
        "checkbox_label_background_fill": "transparent",
        "checkbox_label_background_fill_hover": "var(--hf-tint)",
        "checkbox_label_background_fill_selected": "var(--hf-tint)",
        "checkbox_label_text_color": "var(--hf-ink)",
        "checkbox_label_text_color_selected": "var(--hf-ink)",
        "button_secondary_background_fill": "var(--hf-card)",
        "button_secondary_text_color": "var(--hf-ink)",
        "link_text_color": "var(--hf-accent)",
    }
    return base.set(
        **both,
        **{f"{name}_dark": value for name, value in both.items() if name != "block_border_width"},
        block_border_width_dark="1px",
        block_title_text_weight="400",
        block_label_text_weight="400",
    )
