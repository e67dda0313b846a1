"""Why an object of identity cannot be read or changed. Answers of the admin API and the CLI."""

from tidegate.http.errors import GatewayError


class InvalidObject(GatewayError):
    status = 422
    slug = "invalid-object"
    title = "The object is not valid"


class ObjectNotFound(GatewayError):
    status = 404
    slug = "object-not-found"
    title = "There is no such object"


class NameTaken(GatewayError):
    status = 409
    slug = "name-taken"
    title = "The name is in use"


class ObjectChanged(GatewayError):
    """The caller named the state that its change was meant for, and that is not the present one."""

    status = 412
    slug = "object-changed"
    title = "The object is not as the request expects it"


class TooManySecrets(GatewayError):
    status = 409
    slug = "too-many-secrets"
    title = "Too many old secrets of this key are still valid"


class ObjectInUse(GatewayError):
    status = 409
    slug = "object-in-use"
    title = "Other objects depend on this one"


class ReadOnlyObject(GatewayError):
    """The configuration file says what this object is; only the file can change it."""

    status = 409
    slug = "read-only-object"
    title = "The object is defined in the configuration file"


class PlanMissing(GatewayError):
    """The caller is known, but without its plan nobody can say what it may do. Never a 401."""

    status = 503
    slug = "plan-missing"
    title = "The caller's plan does not exist"


class RecordUnreadable(GatewayError):
    """The store holds something that this version cannot read. Never a 401."""

    status = 500
    slug = "record-unreadable"
    title = "A record in the store cannot be read"
