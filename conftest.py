"""Tests of policies, here in `tests` and in `examples`, get their kit as anybody's would."""

pytest_plugins = ["tidegate.testing"]
