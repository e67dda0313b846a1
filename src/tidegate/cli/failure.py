"""A command that cannot do its job, in words for the person who typed it."""

from collections.abc import Iterator
from contextlib import contextmanager


class Failure(Exception):
    """Ends the command with exit code 1; the text goes to standard error and holds no secret."""


@contextmanager
def explained(*errors: type[Exception]) -> Iterator[None]:
    """Turn errors whose own text says what to do into a Failure."""
    try:
        yield
    except errors as error:
        raise Failure(str(error)) from error
