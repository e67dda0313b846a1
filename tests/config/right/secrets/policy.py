"""A policy that only has to exist."""
