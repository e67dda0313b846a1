"""HTTP as values: messages, header fields, framing, targets, errors. No I/O, nothing of ours."""

from tidegate.http.errors import GatewayError
from tidegate.http.headers import HeaderField, Headers
from tidegate.http.message import Body, Outcome, Request, Response
from tidegate.http.problem import problem_response

__all__ = [
    "Body",
    "GatewayError",
    "HeaderField",
    "Headers",
    "Outcome",
    "Request",
    "Response",
    "problem_response",
]
