"""Redraw the pictures of README.md from the first notebook: python docs/images/draw.py"""

from pathlib import Path

import nbclient
import nbformat

HERE = Path(__file__).parent
NOTEBOOK = HERE.parents[1] / "notebooks" / "01-filter-a-recording.ipynb"
SAVE = f"""
figure.savefig({str(HERE / "intervals.png")!r}, dpi=120)
figures.morphology_figure(result, times=[16, 56]).savefig({str(HERE / "surfaces.png")!r}, dpi=120)
"""

notebook = nbformat.read(NOTEBOOK, as_version=4)
notebook.cells.append(nbformat.v4.new_code_cell(SAVE))
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
