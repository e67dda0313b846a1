"""Identity: who calls, by which key, on which plan. Keys, tenants and plans of file and store."""

from tidegate.identity.credentials import (
    is_gateways_own,
    presented_key,
    unauthorized,
    without_credentials,
)
from tidegate.identity.errors import (
    InvalidObject,
    NameTaken,
    ObjectChanged,
    ObjectInUse,
    ObjectNotFound,
    PlanMissing,
    ReadOnlyObject,
    RecordUnreadable,
    TooManySecrets,
)
from tidegate.identity.key_format import is_well_formed, new_key
from tidegate.identity.models import (
    Caller,
    CreatedKey,
    Page,
    Plan,
    Put,
    RevokedKey,
    StoredKey,
    Tenant,
    grants_of,
)
from tidegate.identity.repository import Repository
from tidegate.identity.resolver import KeyResolver, Stranger

__all__ = [
    "Caller",
    "CreatedKey",
    "InvalidObject",
    "KeyResolver",
    "NameTaken",
    "ObjectChanged",
    "ObjectInUse",
    "ObjectNotFound",
    "Page",
    "Plan",
    "PlanMissing",
    "Put",
    "ReadOnlyObject",
    "RecordUnreadable",
    "Repository",
    "RevokedKey",
    "StoredKey",
    "Stranger",
    "Tenant",
    "TooManySecrets",
    "grants_of",
    "is_gateways_own",
    "is_well_formed",
    "new_key",
    "presented_key",
    "unauthorized",
    "without_credentials",
]
