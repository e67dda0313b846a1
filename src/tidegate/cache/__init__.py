"""Answers kept for later: the rules of RFC 9111 (pure, with `now` as an argument) and storage.

The rules are used module by module (`lookup.decide`, `storing.why_not_stored`, ...): each says
what it decides, and returns a value with its reason.
"""

from tidegate.cache.cache import Cache, open_cache

__all__ = ["Cache", "open_cache"]
