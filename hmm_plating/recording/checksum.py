"""Whether a stored recording is as it was written: SHA-256 digests, for HDF5 and zarr protect numbers at best.

A netCDF file carries the digest of all its bytes behind the end of the HDF5 data, where HDF5 does not look. A zarr
store has a list of its files, as `sha256sum --check` takes it. Both say so in an attribute as well, by which one that
has lost its digest is told from one that never had any. So no damaged byte gets as far as the HDF5 library.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from hmm_plating.errors import InputError

ATTRIBUTE = "checksum"
PROMISE = "SHA-256 of all that was written"
BEFORE_DIGEST = b"\nSHA-256 of all bytes before this line: "
LIST = "checksums.sha256"
DIGEST = 64  # hexadecimal digits


def seal(path: Path) -> None:
    """Add the digest of a finished file, or of all files of a finished folder; their attributes hold the `PROMISE`."""
    if path.is_dir():
        lines = [f"{digest}  {name}\n" for name, digest in sorted(_digests(path).items())]
        (path / LIST).write_bytes("".join(lines).encode())
    else:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with open(path, "ab") as file:
            file.write(BEFORE_DIGEST + digest.encode())


def is_sealed(path: Path) -> bool:
    """Whether the digest is there, and right; False for a file of another program.

    Raises:
        InputError: it is wrong, or it is missing from a file that had one.
        OSError: the file cannot be read.
    """
    changed = InputError(f"{path}: damaged, or changed since it was written: its checksum does not agree")
    if path.is_dir():
        place = path / LIST
        if place.is_file():
            listed = [line.split("  ", 1) for line in place.read_bytes().decode(errors="replace").splitlines()]
            if {name: digest for digest, *rest in listed for name in rest} != _digests(path):
                raise changed
            return True
        if any(PROMISE.encode() in metadata.read_bytes() for metadata in path.glob("z*.json")):
            raise changed
        return False
    data = path.read_bytes()
    line = data[-len(BEFORE_DIGEST) - DIGEST :]
    if line.startswith(BEFORE_DIGEST):
        if hashlib.sha256(data[: -len(line)]).hexdigest().encode() != line[-DIGEST:]:
            raise changed
        return True
    if PROMISE.encode() in data or BEFORE_DIGEST in data:
        raise changed
    return False


def _digests(folder: Path) -> dict[str, str]:
    """By path within the folder; hidden files, which some systems leave everywhere, do not count."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LIST and not path.name.startswith(".")
    }
