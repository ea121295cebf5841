"""Sphinx reads this: how the pages in this folder become a site.

    sphinx-build -W --keep-going docs build/docs

Nothing is fetched, neither now nor when a page is read.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
project = about["name"]
author = "The macrotime developers"
project_copyright = "The macrotime developers, Apache License 2.0"
version = release = about["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docstrings",  # beside this file: how our docstrings are written
    "made_pages",  # beside this file: what is read off the code
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
# Names are documented where they are defined and where they are exported; a reference
# may go to either.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = "macrotime"
html_extra_path = []
html_show_sphinx = False
html_copy_source = False
