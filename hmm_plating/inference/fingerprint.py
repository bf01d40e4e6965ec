"""Fingerprint of a computation's inputs, by which a checkpoint knows whether it may be resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from inspect import getattr_static
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch


def fingerprint(*objects: Any) -> str:
    """Hash of what objects are made of: numbers, text, arrays, code of functions and, recursively, attributes.

    Values that a class computes and caches on an instance (cached_property and the like) do not count.
    """
    digest = hashlib.sha256()
    _feed(digest, objects, set())
    return digest.hexdigest()


def _feed(digest: Any, value: Any, above: set[int]) -> None:
    """Add `value`, found inside the objects whose ids are `above`."""
    digest.update(f"<{type(value).__qualname__}>".encode())
    if id(value) in above:
        return
    inside = above | {id(value)}
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        parts: list[Any] = []
        digest.update(repr(value).encode())
    elif isinstance(value, np.ndarray):
        parts = [value.tolist()] if value.dtype == object else []
        digest.update(f"{value.dtype}{value.shape}".encode() + (b"" if parts else value.tobytes()))
    elif isinstance(value, Mapping):
        parts = [part for key in sorted(value, key=str) for part in (str(key), value[key])]
    elif isinstance(value, list | tuple):
        parts = list(value)
    elif isinstance(value, set | frozenset):
        parts = sorted(fingerprint(member) for member in value)
    elif isinstance(value, CodeType):
        parts = [value.co_code, value.co_names, value.co_consts]
    elif isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = [value.__code__, value.__defaults__, value.__kwdefaults__, cells]
    elif isinstance(value, MethodType):
        parts = [value.__func__, value.__self__]
    elif isinstance(value, partial):
        parts = [value.func, value.args, value.keywords]
    elif isinstance(value, type):
        own = value.__module__.split(".")[0] not in ("torch", "pyro", "numpy", "builtins")
        code = {name: item for name, item in vars(value).items() if isinstance(item, FunctionType)}
        parts = [value.__qualname__, *((code, value.__bases__) if own else ())]
    elif isinstance(value, ModuleType | BuiltinFunctionType):
        parts = [value.__name__]
    elif callable(value) and hasattr(value, "__wrapped__"):  # compiled by Numba, or cached
        parts = [value.__wrapped__]
    elif is_dataclass(value):
        parts = [(item.name, getattr(value, item.name)) for item in fields(value)]
    else:
        cls = type(value)
        parts = [
            (name, item)
            for name, item in sorted(getattr(value, "__dict__", {}).items())
            if not hasattr(getattr_static(cls, name, None), "__get__")
        ]
    for part in parts:
        _feed(digest, part, inside)
    digest.update(b"</>")
