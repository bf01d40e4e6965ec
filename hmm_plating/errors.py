"""What a user's input can cause, what no input is to blame for, and a check."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used: the message says what is wrong, where, and what to do.

    The command line prints the message as one line and exits with code 2.
    """


def require_integer(what: str, value: object, minimum: int) -> None:
    """Raise InputError, naming `what`, unless the value is an integer of at least `minimum`."""
    if not isinstance(value, int) or value < minimum:
        raise InputError(f"{what} must be an integer ≥ {minimum}, got {value!r}")


class ConvergenceError(RuntimeError):
    """An iteration that did not reach the accepted error, or diverged: the message says how far it came.

    The command line treats it as an InputError.
    """


class DepletionError(InputError):
    """More current than diffusion can carry: the cation at the surface is used up within a step.

    Attributes:
        time: from the start of the step until the first particle was depleted [s].
    """

    def __init__(self, message: str, time: float) -> None:
        super().__init__(message)
        self.time = time

    def __reduce__(self) -> tuple[type[DepletionError], tuple[str, float]]:  # survives the way between processes
        return type(self), (str(self), self.time)
