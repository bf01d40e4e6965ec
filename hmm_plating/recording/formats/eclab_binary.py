"""BioLogic EC-Lab's own .mpr file, through the optional package galvani."""

from __future__ import annotations

import io
from datetime import datetime

import numpy as np

from hmm_plating.errors import InputError
from hmm_plating.recording.formats import eclab
from hmm_plating.recording.formats.contents import Contents, Hints
from hmm_plating.recording.table import Table, one_line

FORMAT = "BioLogic EC-Lab .mpr"
FIRST_BYTES = b"BIO-LOGIC MODULAR FILE"


def read(data: bytes, name: str) -> Contents:
    """The potentiostat's part of the file.

    Raises:
        InputError: galvani is not installed, or the file is damaged or of a version that it does not know.
    """
    try:
        from galvani import MPRfile
    except ImportError as error:
        raise InputError(
            f"{name}: a BioLogic .mpr file needs the optional package galvani (pip install 'hmm_plating[mpr]'); or "
            "export it as text (.mpt) in EC-Lab"
        ) from error
    try:
        file = MPRfile(io.BytesIO(data))
        columns = {column: np.array(file.data[column], dtype=object) for column in file.data.dtype.names}
        stamp = getattr(file, "timestamp", None)
    except Exception as error:  # it raises whatever a damaged file runs into
        raise InputError(
            f"{name}: cannot be read as a BioLogic .mpr file, damaged or of an unknown version? Export it as text "
            f"(.mpt) in EC-Lab ({type(error).__name__}: {one_line(error)})"
        ) from error
    if not columns or not eclab.matches(list(columns)):
        raise InputError(f"{name}: no time and current or charge; found {', '.join(map(repr, columns))}")
    cells = np.stack(list(columns.values()), axis=1)
    if not len(cells):
        raise InputError(f"{name}: no points")
    found = eclab.read(Table(name, list(columns), cells, np.arange(len(cells)) + 1), Hints())
    assert found.potentiostat is not None
    start = (stamp,) if isinstance(stamp, datetime) else ()
    return found._replace(format=FORMAT, potentiostat=found.potentiostat._replace(start=start))
