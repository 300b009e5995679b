"""How the page looks: fonts of the visitor's own system, readable colours, one column on a telephone."""

from __future__ import annotations

from typing import Any, Final

CSS: Final = """
.gradio-container { max-width: 1320px !important; margin: auto; }
#tabs button[role=tab].selected { color: var(--primary-700) !important; }
.download-link { color: var(--primary-700) !important; }
.dark #tabs button[role=tab].selected { color: var(--primary-300) !important; }
.dark .download-link { color: var(--primary-300) !important; }
.hide-container > .html-container { padding: 0 !important; }
.hf-head h1 { font-size: 1.7rem; font-weight: 750; letter-spacing: -0.02em; margin: 0; }
.hf-head p, .hf-foot { color: var(--body-text-color-subdued); margin: 0.15rem 0 0; }
.hf-foot { font-size: 0.85rem; text-align: center; }
.hf-step h2 { font-size: 1.05rem !important; margin: 0 0 0.1rem !important; }
.hf-title { font-size: 0.85rem; color: var(--body-text-color-subdued); margin: 0 0 0.4rem; }
.hf-hint { color: var(--body-text-color-subdued); margin: 0; }
.hf-row { display: flex; flex-wrap: wrap; gap: 0.6rem; max-height: 300px; overflow-y: auto; padding: 3px; }
.hf-face { position: relative; width: 88px; padding: 0; border-radius: 12px; background: none; cursor: pointer;
  color: var(--body-text-color); font-size: 0.78rem; text-align: center; }
.hf-face > img:first-child { width: 88px; height: 88px; border-radius: 12px; display: block;
  outline: 1px solid var(--border-color-primary); }
.hf-face:hover > img:first-child { outline: 2px solid var(--primary-400); }
.hf-face[aria-pressed=true] > img:first-child { outline: 3px solid var(--primary-500); }
.hf-face:focus-visible, .hf-box:focus-visible { outline: 3px solid var(--primary-400); outline-offset: 3px; }
.hf-inset { position: absolute; right: -5px; top: 50px; width: 42px; height: 42px; border-radius: 50%;
  border: 3px solid var(--primary-500); background: var(--primary-500); }
.hf-face span { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; padding: 3px 2px 0; }
.hf-frame { position: relative; width: fit-content; max-width: 100%; margin: 0 auto 0.7rem; border-radius: 12px;
  overflow: hidden; line-height: 0; }
.hf-frame > img { max-width: 100%; max-height: 420px; }
.hf-box { position: absolute; border: 2px solid rgb(255 255 255 / 0.9); border-radius: 8px; background: none;
  box-shadow: 0 0 0 1px rgb(0 0 0 / 0.55); cursor: pointer; padding: 0; }
.hf-box:hover { background: rgb(255 255 255 / 0.15); }
.hf-box[data-pressed] { border: 3px solid var(--primary-400); }
.hf-box span { position: absolute; left: 0; top: 0; font: 600 0.72rem/1 system-ui, sans-serif; color: #fff;
  background: rgb(0 0 0 / 0.72); padding: 3px 5px; border-radius: 5px 0 5px 0; }
.hf-progress { border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 0.8rem 0.9rem; }
.hf-progress p { margin: 0; font-variant-numeric: tabular-nums; }
.hf-progress .hf-figures { color: var(--body-text-color-subdued); font-size: 0.88rem; margin-top: 0.15rem; }
.hf-bar { height: 10px; border-radius: 5px; overflow: hidden; margin: 0.55rem 0 0.45rem;
  background: var(--neutral-200); }
.dark .hf-bar { background: var(--neutral-700); }
.hf-bar > div { height: 100%; border-radius: 5px; background: var(--primary-600); transition: width 0.4s linear; }
.dark .hf-bar > div { background: var(--primary-400); }
.hf-progress[data-status=failed] { border-color: var(--error-border-color); }
.hf-video { position: relative; border-radius: 12px; overflow: hidden; background: #000; line-height: 0; --line: 0%; }
.hf-video video { width: 100%; max-height: 460px; display: block; }
.hf-video .hf-target { position: absolute; inset: 0; height: 100%; pointer-events: none;
  clip-path: inset(0 calc(100% - var(--line)) 72px 0); }  /* the player's own buttons stay in sight */
.hf-line { display: flex; align-items: center; gap: 0.6rem; margin-top: 0.5rem; font-size: 0.88rem; }
.hf-line input { flex: 1; accent-color: var(--primary-600); }
#swap-button, #video-whole, #video-preview { min-height: 3rem; }
.hf-table { font-size: 0.85rem; width: 100%; border-collapse: collapse; margin: 0.2rem 0 0.8rem; }
.hf-table th { text-align: left; font-weight: 500; color: var(--body-text-color-subdued); }
.hf-table th, .hf-table td { padding: 0.22rem 0.6rem 0.22rem 0; vertical-align: top;
  border-bottom: 1px solid var(--border-color-primary); }
.hf-table .n { text-align: right; font-variant-numeric: tabular-nums; }
.hf-table td.n { white-space: nowrap; }
.hf-note { font-size: 0.85rem; margin: 0 0 0.4rem; }
#card p { font-size: 0.88rem; }
footer { display: none !important; }
@media (max-width: 640px) {
  .gradio-container .main { padding: 12px !important; }
}
"""

HEAD_STYLE: Final = "<style>body:not([data-ready]) #desk { pointer-events: none; opacity: 0.6; }</style>"
"""Not part of CSS, of which every rule is confined to what lies inside the page's container."""


def theme(gr: Any) -> Any:
    """Quiet surfaces, one strong colour for what is to be clicked, all of it readable (WCAG AA: 4.5 to 1)."""
    soft = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return soft.set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_border_width="1px",
        block_border_width_dark="1px",
        block_shadow="none",
        block_label_background_fill="*background_fill_primary",
        block_label_background_fill_dark="*background_fill_secondary",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_label_text_weight="500",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_padding="0",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="500",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        button_secondary_background_fill_hover_dark="*neutral_600",
        button_border_width="1px",
        button_border_width_dark="1px",
    )
