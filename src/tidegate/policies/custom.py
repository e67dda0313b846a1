"""Loads a user's own policy: `use: policies/add_header.py` or `use: package.module:build_it`.

The file or module holds a `build` function (or the one named after `:`) that takes its settings,
a pydantic model given as the annotation of its one parameter, and returns the policy. All of it
happens while the snapshot is compiled, so a mistake is a load error and never a failed request.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError

from tidegate.config import CustomPolicy
from tidegate.config.problems import did_you_mean
from tidegate.policies.guard import Guarded
from tidegate.policies.own_code import PolicyNotLoaded, function_of
from tidegate.policies.policy import Policy


def load(entry: CustomPolicy, directory: Path) -> Guarded:
    """Return the guarded policy of one `policies` entry.

    A relative file is looked for beside the configuration, in `directory`. Raises PolicyNotLoaded.
    """
    build = function_of(entry.use, "build", directory)
    settings = _settings(build, entry)
    try:
        policy: Policy = build(*settings)
    except Exception as error:
        raise PolicyNotLoaded(f"policy `{entry.use}`: build raised {error!r}") from error
    if not callable(policy):
        raise PolicyNotLoaded(
            f"policy `{entry.use}`: build returned {type(policy).__name__}, "
            "not an `async def policy(request, call_next)`"
        )
    return Guarded(
        entry.use.removesuffix(":"),
        policy,
        timeout_s=entry.timeout,
        fails_open=entry.on_error == "open",
    )


def _settings(build: Callable[..., Any], entry: CustomPolicy) -> tuple[BaseModel, ...]:
    parameters = list(inspect.signature(build).parameters)
    if not parameters:
        if entry.settings:
            raise PolicyNotLoaded(f"policy `{entry.use}`: it takes no settings")
        return ()
    annotation = get_type_hints(build).get(parameters[0])
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise PolicyNotLoaded(
            f"policy `{entry.use}`: annotate the parameter of its build function with a pydantic "
            "model, such as `def build(settings: Settings)`"
        )
    try:
        return (annotation.model_validate(entry.settings),)
    except ValidationError as error:
        problems = [
            f"settings.{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        problems += _unread(annotation, entry)
        raise PolicyNotLoaded(f"policy `{entry.use}`: {'; '.join(problems)}") from error


def _unread(model: type[BaseModel], entry: CustomPolicy) -> list[str]:
    """Name what the model passes over: beside a field that is missing, it is likely a slip of it.

    Told only where something else is wrong, since whether a model allows more is its own affair.
    """
    if model.model_config.get("extra", "ignore") != "ignore":
        return []
    fields = model.model_fields
    known = {*fields, *(field.alias for field in fields.values() if field.alias)}
    return [
        f"settings.{name}: there is no such setting{did_you_mean(name, known)}"
        for name in entry.settings
        if name not in known
    ]
