"""The one error that a user's input can cause."""


class InputError(ValueError):
    """Input that cannot be used: the message says what is wrong, where, and what to do.

    The command line prints the message as one line and exits with code 2.
    """
