"""How an error that the user's own code raised is told: in one line, for whoever wrote the code."""


def in_words(error: Exception) -> str:
    """Return `FILE:LINE: what is wrong` of a syntax error, or what else was raised."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {error.msg}"
    return f"importing it raised {error!r}"
