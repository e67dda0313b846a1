"""The control plane: the admin API and its pages, apart from the traffic."""

from tidegate.control.application import application

__all__ = ["application"]
