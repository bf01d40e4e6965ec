"""Model files: what they may hold, and that whatever goes wrong in them names file and line."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hmm_plating import InputError, PlatingModel
from hmm_plating.model_file import load_model_file, model_file_errors
from hmm_plating.simulate_recording import Protocol

RECORDING = Protocol(overtones=(3, 7)).recording()


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


def test_builds_the_model_for_the_recording(small_model: Path) -> None:
    model = load_model_file(small_model)(RECORDING)
    assert isinstance(model, PlatingModel)
    assert model.overtones == (3, 7)


def test_the_shipped_model_file_loads() -> None:
    model = load_model_file(Path(__file__).parent.parent / "models" / "zinc.py")(RECORDING)
    assert model.metal.name == "zinc"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_everyone_may_change_is_not_run(tmp_path: Path, link: bool) -> None:
    """Model files are code: who may write to one runs programs as the user."""
    path = write(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')")
    path.chmod(0o666)
    named = tmp_path / "linked.py" if link else path
    if link:
        named.symlink_to(path)
    with pytest.raises(InputError, match=r"every user .* may change.*chmod o-w"):
        load_model_file(named)
    assert not (tmp_path / "ran").exists()
    path.chmod(0o664)
    with pytest.raises(InputError, match="does not define a function plating_model"):
        load_model_file(named)
    assert (tmp_path / "ran").exists()


def test_an_edit_counts_at_once_and_leaves_nothing_beside_the_file(tmp_path: Path, small_model: Path) -> None:
    """Bytecode caches go by whole seconds and sizes: an edit of one digit must not meet the file of before."""
    text = small_model.read_text()
    first = load_model_file(write(tmp_path, text))(RECORDING)
    second = load_model_file(write(tmp_path, text.replace("9e-9,", "9.5e-9,")))(RECORDING)
    assert (first.parameters["nucleus_radius"], second.parameters["nucleus_radius"]) == (9e-9, 9.5e-9)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_model_file_may_define_dataclasses(tmp_path: Path, small_model: Path) -> None:
    """They look their module up by name where annotations are strings."""
    future = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    own = "\n@dataclass\nclass Bath:\n    density: float\n"
    assert load_model_file(write(tmp_path, future + small_model.read_text() + own))(RECORDING).overtones == (3, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def plating_model(recording:\n    pass\n", "mine.py, line 1: SyntaxError while it was loaded"),
        ("import math\nmath.sqrt(-1)\n", "mine.py, line 2: ValueError while it was loaded: math domain error"),
        ("import no_such_package\n", "mine.py, line 1: ModuleNotFoundError while it was loaded"),
        ("import sys\nsys.exit('enough')\n", "mine.py, line 2: SystemExit while it was loaded: enough"),
        ("model = 3\n", "mine.py does not define a function plating_model(recording)"),
        ("plating_model = 3\n", "mine.py does not define a function plating_model(recording)"),
        ("", "mine.py does not define a function plating_model(recording)"),
        (
            "import hmm_plating as hp\n\nGRID = hp.Grid(128e-9, 96e-9, 4e-9, 12e-9)\n",
            "mine.py, line 3: Interface.width = 1.2e-08 m is 3 cells of 4e-09 m; fewer than 4 pin the front",
        ),
    ],
)
def test_a_file_that_does_not_load_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        load_model_file(write(tmp_path, text))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return recording['current']", 'mine.py, line 2: KeyError in plating_model: "'),
        ("return None", "mine.py returned NoneType, not a PlatingModel"),
        ("raise SystemExit(0)", "mine.py, line 2: SystemExit in plating_model: 0"),
        ("\n    return helper()\n\ndef helper():\n    return 1 / 0", "mine.py, line 6: ZeroDivisionError in plating"),
    ],
)
def test_a_function_that_fails_says_where(tmp_path: Path, body: str, message: str) -> None:
    build = load_model_file(write(tmp_path, f"def plating_model(recording):\n    {body}\n"))
    with pytest.raises(InputError, match=re.escape(message)):
        build(RECORDING)


def test_a_function_without_arguments_says_so(tmp_path: Path) -> None:
    build = load_model_file(write(tmp_path, "def plating_model():\n    return None\n"))
    with pytest.raises(InputError, match=r"mine\.py: TypeError in plating_model: .* takes 0 positional arguments"):
        build(RECORDING)


def test_what_is_refused_in_the_function_keeps_its_message(tmp_path: Path, small_model: Path) -> None:
    text = small_model.read_text().replace("parameters=SURFACE", "parameters={'density': 1.0}")
    with pytest.raises(InputError, match=r"mine\.py, line \d+: PlatingModel\.parameters: unknown density; known: "):
        load_model_file(write(tmp_path, text))(RECORDING)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.py does not exist"):
        load_model_file(tmp_path / "absent.py")
    with pytest.raises(InputError, match="does not exist"):
        load_model_file(tmp_path)
    (tmp_path / "model.txt").write_text("x = 1\n")
    with pytest.raises(InputError, match=r"model\.txt is not a Python file"):
        load_model_file(tmp_path / "model.txt")
    (tmp_path / "binary.py").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match=r"binary\.py"):
        load_model_file(tmp_path / "binary.py")


def test_errors_of_the_files_functions_while_the_model_runs_are_its_own(tmp_path: Path) -> None:
    path = write(
        tmp_path, "def plating_model(recording):\n    pass\n\ndef regressor(shift):\n    return shift.absent\n"
    )
    namespace: dict = {}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    with (
        pytest.raises(InputError, match=r"mine\.py, line 5: AttributeError while the model ran: 'int' object has no"),
        model_file_errors(path),
    ):
        namespace["regressor"](3)
    with pytest.raises(ZeroDivisionError), model_file_errors(path):  # not the model file's: a traceback is wanted
        1 / 0  # noqa: B018
