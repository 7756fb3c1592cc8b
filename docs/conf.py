"""Sphinx configuration of the site. docs/build_site.py puts the sources together; nothing here reaches the network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Cartoonize Yourself"
author = "The Cartoonize Yourself contributors"
copyright = f"2026, {author}"

extensions = ["myst_nb", "mathml"]
exclude_patterns = ["build", "**.ipynb_checkpoints"]
suppress_warnings = ["myst.header", "myst.xref_missing", "mystnb.unknown_mime_type", "misc.highlighting_failure"]

# The notebooks were executed by docs/run_course.py; here they are only shown.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_image_options = {"alt": "output of the cell above"}
nb_ipywidgets_js = {}  # by default two scripts from a CDN; no page has live widgets
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "smartquotes"]
myst_heading_anchors = 3
html_math_renderer = "mathml"  # docs/mathml.py: MathJax would come from a CDN

html_theme = "sphinx_book_theme"
html_title = "Cartoonize Yourself"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
    "navigation_with_keys": True,
}
