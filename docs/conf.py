"""Sphinx: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``. Needs no network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import sphinx_autosummary_accessors

import xr_s2sr  # registers the accessor, so that autosummary finds it

sys.path.insert(0, str(Path(__file__).parent))  # for notebooks.py and other_pages.py

import other_pages

project = "xr_s2sr"
author = "The xr_s2sr developers"
copyright = author
release = version = xr_s2sr.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_autosummary_accessors",
    "myst_nb",
    "sphinx_design",
    "notebooks",
]
templates_path = ["_templates", sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "_notebooks", "jupyter_execute"]

# inventories of our own: building needs no network
intersphinx_mapping = other_pages.write(Path(__file__).parent / "_build" / "inventories")

# a bar would end up in the pages; the kernels inherit this
os.environ["TQDM_DISABLE"] = "1"

# pages with code cells run at every build; a cell that fails fails the build
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["colon_fence"]
smartquotes = False  # "auto" must stay what one can type
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"xr_s2sr {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["versions.js"]
html_copy_source = False
html_show_copyright = False
