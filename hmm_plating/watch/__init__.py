"""A page that shows a run while it grows, for a browser on the same computer."""

from hmm_plating.watch.reader import RunReader
from hmm_plating.watch.server import PageServer

__all__ = ["PageServer", "RunReader"]
