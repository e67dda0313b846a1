"""What of the cache shall be forgotten."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Purge:
    """URLs of every tenant, one tenant's own, or everything where neither is named."""

    urls: tuple[str, ...] = ()
    tenant: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        """As the admin API takes it."""
        if self.urls:
            return {"urls": list(self.urls)}
        return {"all": True} if self.tenant is None else {"tenant": self.tenant}

    @property
    def in_words(self) -> str:
        if self.urls:
            return ", ".join(self.urls)
        return "everything" if self.tenant is None else f"what is tenant {self.tenant}'s own"
