"""The admin API's bearer token: `TIDEGATE_ADMIN_TOKEN`, else a file made at the first start.

The file is the data directory's, readable by its owner alone, and made once: whoever comes second
reads what the first one wrote. The token goes through pipes only, never through arguments.
"""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidegate.cli.failure import Failure, explained

if TYPE_CHECKING:
    from pydantic import SecretStr

    from tidegate.config import Settings

FILE: Final = "admin-token"
PREFIX: Final = "tg_admin_"
"""So that a scanner for leaked secrets can tell what it has found."""
RANDOM_BYTES: Final = 32
_OTHERS: Final = 0o077


def admin_token(data_dir: Path, settings: "Settings") -> "SecretStr":
    """Return the token that a gateway started from here asks for, made now if there is none."""
    return known_admin_token(data_dir, settings) or _made(data_dir)


def known_admin_token(data_dir: Path, settings: "Settings") -> "SecretStr | None":
    """Return the token, or None if none was made yet. Raises Failure if others may know it."""
    if settings.admin_token is not None:
        return settings.admin_token
    path = data_dir / FILE
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_uid != os.geteuid():
                raise Failure(
                    f"{path} does not belong to the user that runs this, so who owns it knows the "
                    "token: run this as its owner, or delete it, and the next start makes a new one"
                )
            if facts.st_mode & _OTHERS:
                raise Failure(
                    f"{path} can be read by others: delete it, and the next start makes a new "
                    "token; or do: chmod 600 " + str(path)
                )
            text = file.read().decode().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise Failure(f"The admin token in {path} cannot be read: {reason}") from None
    return _checked(text, path)


def _checked(text: str, path: Path) -> "SecretStr":
    from pydantic import SecretStr

    from tidegate.config.environment import checked_token
    from tidegate.config.values import Wrong

    try:
        return checked_token(SecretStr(text))
    except Wrong as wrong:
        raise Failure(f"The admin token in {path} cannot be used: {wrong}") from None


def _made(data_dir: Path) -> "SecretStr":
    from tidegate.store import StoreRefused, own_privately

    with explained(StoreRefused):
        own_privately(data_dir, "TIDEGATE_DATA_DIR")
    path = data_dir / FILE
    draft = data_dir / f"{FILE}.{os.getpid()}"
    text = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
        try:
            os.link(draft, path)  # whole or not at all, and never over another's
        except FileExistsError:
            text = path.read_text().strip()
        finally:
            draft.unlink()
    except OSError as error:
        raise Failure(f"The admin token cannot be kept in {path}: {error.strerror}") from error
    return _checked(text, path)
