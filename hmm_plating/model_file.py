"""Model files: Python files that define `plating_model(recording)`, loaded by path."""

from __future__ import annotations

import os
import stat
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import xarray as xr

from hmm_plating.did_you_mean import closest
from hmm_plating.errors import InputError
from hmm_plating.model import PlatingModel

ModelBuilder = Callable[[xr.Dataset], PlatingModel]


def load_model_file(path: str | Path) -> ModelBuilder:
    """Function `plating_model` of a model file; the file is executed, so it must be trusted like any program.

    Raises:
        InputError: no such file, not Python, anyone may write to it, it raises while it loads, or it does not define
            `plating_model`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(_no_model_file(path))
    if path.suffix != ".py":
        raise InputError(f"model file {path} is not a Python file (.py)")
    text = _trusted_text(path)
    module = ModuleType(f"model_file_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for it
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise _located(path, error, "while it was loaded") from error
    builder = getattr(module, "plating_model", None)
    if not callable(builder):
        raise InputError(f"model file {path} does not define a function plating_model(recording)")

    def build(recording: xr.Dataset) -> PlatingModel:
        try:
            model = builder(recording)
        except (Exception, SystemExit) as error:
            raise _located(path, error, "in plating_model") from error
        if not isinstance(model, PlatingModel):
            raise InputError(f"plating_model in {path} returned {type(model).__name__}, not a PlatingModel")
        return model

    return build


def _no_model_file(path: Path) -> str:
    known = [str(other) for folder in {path.parent, Path("models")} for other in sorted(folder.glob("*.py"))]
    names = {Path(name).stem: name for name in known}
    meant = closest(path.stem, names)
    advice = "models/zinc.py is one to copy" if meant is None else f"did you mean {names[meant]}?"
    return f"model file {path} does not exist; {advice}"


def _trusted_text(path: Path) -> bytes:
    """The text of a file that not just anyone can change; permissions and text are those of one open file."""
    with path.open("rb") as file:
        if os.name == "posix" and os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
            raise InputError(
                f"model file {path} is a program that every user of this computer may change, so it is not run: "
                f"read it, then take that right away with chmod o-w {path}"
            )
        return file.read()


@contextmanager
def model_file_errors(path: str | Path) -> Iterator[None]:
    """Around the use of a model: errors of the file's own functions, regressors say, become an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not _lines(Path(path), error):
            raise
        raise _located(Path(path), error, "while the model ran") from error


def _located(path: Path, error: BaseException, when: str) -> InputError:
    """Names the error and the last line of the model file that it passed through."""
    lines = [error.lineno] if isinstance(error, SyntaxError) else _lines(path, error)[-1:]
    place = f"model file {path}" + "".join(f", line {line}" for line in lines)
    said = str(error) if isinstance(error, InputError) else f"{type(error).__name__} {when}: {error}"
    if isinstance(error, TypeError) and "'viscosity'" in said:
        said += (
            "; state the electrolyte's viscosity in Pa s, as VISCOSITY in models/zinc.py (water: 0.89e-3); "
            "PlatingModel.for_recording replaces it where the crystal in air is given (--air FILE)"
        )
    if isinstance(error, AttributeError) and error.name and (meant := closest(error.name, dir(error.obj))):
        said += f"; did you mean {meant}?"
    return InputError(f"{place}: {said}")


def _lines(path: Path, error: BaseException) -> list[int | None]:
    return [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
