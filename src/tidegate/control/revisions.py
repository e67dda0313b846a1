"""ETag and If-Match (RFC 9110, section 13): a change can be tied to the state it was made for.

The tag is the store's revision, so that the store compares and changes in one step. Without a
condition the last one who writes wins.
"""

from typing import Annotated, Literal

from fastapi import Depends, Header, Response
from pydantic import StringConstraints
from pydantic.json_schema import SkipJsonSchema

from tidegate.identity import Plan, Put, Tenant
from tidegate.identity.layout import ABSENT, ANY

_Tag = Annotated[str, StringConstraints(pattern=r'^"?[0-9]{1,19}"?$')]
"""Without quotes too: shells take them off."""


def _expected(
    if_match: Annotated[
        _Tag | SkipJsonSchema[None], Header(description="Change this state and no other.")
    ] = None,
    if_none_match: Annotated[
        Literal["*"] | SkipJsonSchema[None], Header(description="Create, never replace.")
    ] = None,
) -> str:
    if if_none_match is not None:
        return ABSENT
    return ANY if if_match is None else if_match.strip('"')


Expected = Annotated[str, Depends(_expected)]
"""The revision that the change is meant for."""


def tag(response: Response, revision: int | None) -> None:
    """Tell the revision; what the file says has none."""
    if revision is not None:
        response.headers["etag"] = f'"{revision}"'


def tag_written(response: Response, written: Put[Plan] | Put[Tenant]) -> None:
    """Tell the revision that was written, and by the status whether the object is new."""
    response.status_code = 201 if written.is_new else 200
    tag(response, written.item.revision)
