"""The documentation's site: `make docs`."""

from importlib.metadata import version as installed

project, author, release = "hmm_plating", "the authors of hmm_plating", installed("hmm_plating")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
templates_path = ["_templates"]
exclude_patterns = ["images/*.py", "_templates"]
html_theme = "furo"
html_title = "hmm_plating"
myst_heading_anchors = 3
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = True
napoleon_use_ivar = True
# links to files of the repository, which the site does not hold; names that a package takes from its modules
suppress_warnings = ["myst.xref_missing", "ref.python"]
