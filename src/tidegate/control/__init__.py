"""The control plane: the admin API and its pages, apart from the traffic."""

from tidegate.control.application import application
from tidegate.control.bounded_protocol import BoundedProtocol

__all__ = ["BoundedProtocol", "application"]
