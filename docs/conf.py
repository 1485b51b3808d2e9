"""Sphinx configuration: `make docs`."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # examples run one after the other on small images

import nilatron  # noqa: E402
from from_code import write_pages  # noqa: E402 - from the folder of this file

write_pages(DOCS / "generated")
warnings.filterwarnings("ignore", module="myst_parser")  # which uses what Sphinx 11 will not have

project = "Nilatron"
author = copyright = "the Nilatron developers"  # noqa: A001 - Sphinx's name
version = release = nilatron.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "mathml",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "generated", "gallery", "from_code"]
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_typehints = "none"  # docstrings say axes and units; the types of arrays are those of any library
autodoc_member_order = "bysource"
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "filename_pattern": r"/[a-z]\w*\.py",
    "abort_on_example_error": True,
    "within_subsection_order": "from_code.gallery.GalleryOrder",
    "download_all_examples": False,
    "capture_repr": (),
    "show_memory": False,
    "write_computation_times": False,
    "plot_gallery": True,
    "image_scrapers": ("matplotlib",),
}
html_theme = "pydata_sphinx_theme"
html_title = f"Nilatron {release}"
html_static_path = ["_static"]
html_css_files = ["nilatron.css"]
html_show_sourcelink = False
html_sidebars = {"**": ["sidebar-nav-bs"], "index": []}
html_theme_options = {
    "header_links_before_dropdown": 6,
    "show_prev_next": False,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "tango",
}
html_context = {"default_mode": "auto"}


def escape_bars(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Take |x|^2 in docstrings for what it is, not for a substitution."""
    del app, what, name, thing, options
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app: Any) -> None:
    """Before numpydoc, which has the default priority of 500."""
    app.connect("autodoc-process-docstring", escape_bars, priority=400)
