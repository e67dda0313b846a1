"""Loading a user's policy: what is right, and the message for each mistake."""

import sys

import pytest

from tidegate.config import CustomPolicy
from tidegate.policies.custom import PolicyNotLoaded, load

RIGHT = """
from pydantic import BaseModel

class Settings(BaseModel):
    name: str
    count: int = 1

def build(settings: Settings):
    async def policy(request, call_next):
        return settings.name, settings.count
    return policy

def without_settings():
    async def policy(request, call_next):
        return "none"
    return policy

def bare(settings):
    return None

def fails(settings: Settings):
    raise ValueError("no")

def gives_none():
    return None

not_callable = 3
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "mine.py").write_text(RIGHT)
    (tmp_path / "broken.py").write_text("import does_not_exist_anywhere")
    (tmp_path / "torn.py").write_text("\nboom(")
    return tmp_path


def entry(use: str, **fields) -> CustomPolicy:
    return CustomPolicy(use=use, **fields)


async def test_settings_are_checked_and_handed_to_build(directory):
    policy = load(entry("mine.py", settings={"name": "a"}), directory)
    assert policy.name == "mine.py"
    assert await policy._policy(None, None) == ("a", 1)


async def test_a_module_on_the_path_and_another_function_can_be_named(directory, monkeypatch):
    monkeypatch.syspath_prepend(str(directory))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    policy = load(entry("mine:without_settings"), directory)
    assert await policy._policy(None, None) == "none"


@pytest.mark.parametrize(
    ("use", "settings", "message"),
    [
        ("missing.py", {}, "no file"),
        ("broken.py", {}, "importing it raised ModuleNotFoundError"),
        ("torn.py", {}, "/torn.py:2: '(' was never closed"),
        ("no_such_module_here", {}, "importing it raised ModuleNotFoundError"),
        ("mine.py:nothing", {}, "it has no function `nothing`"),
        ("mine.py:not_callable", {}, "it has no function `not_callable`"),
        ("mine.py", {}, "settings.name: Field required"),
        ("mine.py", {"nme": "a"}, 'settings.nme: there is no such setting, did you mean "name"?'),
        ("mine.py", {"name": "a", "count": "x"}, "settings.count: Input should be a valid integer"),
        ("mine.py:without_settings", {"a": 1}, "it takes no settings"),
        ("mine.py:bare", {}, "annotate the parameter"),
        ("mine.py:fails", {"name": "a"}, "build raised ValueError"),
        ("mine.py:gives_none", {}, "build returned NoneType"),
    ],
)
def test_a_mistake_is_a_load_error_that_names_the_entry_and_the_fix(
    directory, use, settings, message
):
    with pytest.raises(PolicyNotLoaded) as caught:
        load(entry(use, settings=settings), directory)
    assert f"policy `{use}`" in str(caught.value)
    assert message in str(caught.value)


def test_a_wrong_setting_is_not_repeated_in_the_message(directory):
    with pytest.raises(PolicyNotLoaded) as caught:
        load(entry("mine.py", settings={"name": "a", "count": "hunter2"}), directory)
    assert "hunter2" not in str(caught.value)
