"""What a reference brings in never stands in a message, wherever it is wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tidegate.config import ConfigError, load

RIGHT = Path(__file__).parent / "right"
SECRET = "S3CRET"
FORMS = [
    SECRET,
    f"{SECRET} {SECRET}",
    f"/{SECRET}/../x",
    f"/{SECRET}/",
    f"{SECRET.lower()}/16",
    f"http://{SECRET}/path",
    f"https://u:{SECRET}@host",
    f"redis://u:{SECRET}@ho st",
    f"redis+cluster://:{SECRET}@host/7",
    f"asgi:{SECRET}",
    f"{SECRET}.py:x",
    f"*.{SECRET}.*",
    f"${SECRET}",
    f"${{{SECRET}}}",
]


def values(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from values(item)
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from values(value)


def spots(name: str) -> list[tuple[int, int]]:
    document = yaml.compose((RIGHT / name).read_text(), yaml.SafeLoader)
    assert document is not None
    return [(value.start_mark.index, value.end_mark.index) for value in values(document)]


@pytest.mark.parametrize("name", ["everything.yaml", "short_forms.yaml"])
def test_a_referred_value_is_never_shown(name: str, tmp_path: Path) -> None:
    text = (RIGHT / name).read_text().replace("secrets/", f"{RIGHT}/secrets/")
    (tmp_path / "right.yaml").write_text(text)
    refused = 0
    for start, end in spots(str(tmp_path / "right.yaml")):
        path = tmp_path / "wrong.yaml"
        path.write_text(f"{text[:start]}'${{WORD}}'{text[end:]}")
        for form in FORMS:
            try:
                load(path, {"WORD": form})
            except ConfigError as error:
                refused += 1
                assert SECRET.lower() not in str(error).lower()  # noqa: PT017
    assert refused > 200


@pytest.mark.parametrize(
    "keys",
    [
        SECRET,
        f"[{SECRET}]",
        f"[[{SECRET}]]",
        f"{{{SECRET}: x}}",
        f"{{x: {SECRET}}}",
        f"[{{{SECRET}}}]",
        f"[{{name: a, value: [{SECRET}]}}]",
        f"[{{name: a, value: {{{SECRET}: {SECRET}}}}}]",
        f"[{{name: a, vaule: {SECRET}}}]",
        f"[{{name: a, value: a {SECRET}}}]",
        f"[{{name: a, value: *{SECRET}}}]",
        f"[{{name: a, value: !{SECRET} x}}]",
        f"[{{name: a, value: !{SECRET}!x y}}]",
        f"[{{name: a, value: '{SECRET}}}]",
        f'[{{name: a, value: "\\{SECRET}"}}]',
        f"[{{name: a, value: @{SECRET}}}]",
        f"[{{name: a, value: {SECRET}}}, {{name: b, value: {SECRET}}}]",
        f"[{{name: a, value: {SECRET}, value: {SECRET}2}}]",
    ],
)
def test_a_key_is_never_shown_in_whatever_shape_it_is_written(keys: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    for tenants in (f"[{{name: a, plan: p, keys: {keys}}}]", f"{{a: {{plan: p, keys: {keys}}}}}"):
        path.write_text(f"version: 1\nplans: {{p: {{rate: 5/s}}}}\ntenants: {tenants}\n")
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        assert SECRET not in str(caught.value)
