"""What the documentation writes of limits loads: each block of YAML, with what it leaves out."""

import re
from pathlib import Path

import pytest

from tidegate.config import load

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLANS = "plans: {free: {rate: 5/s}, premium: {rate: 50/s}}\n"
SERVICES = """
services:
  - name: shop
    targets: [http://127.0.0.1:9000]
    routes:
      - {name: reports, paths: [/reports], costs: {tokens: {reserve: 1}}}
      - {name: exports, paths: [/exports]}
"""
BLOCKS = [
    pytest.param(found[1], id=f"{name}-{number}")
    for name in ("limits.md", "guide.md")
    for number, found in enumerate(BLOCK.finditer((DOCS / name).read_text()))
]
VARIABLES = {"CI_KEY": "k3y", "ACME_KEY": "k4y", "UPSTREAM": "http://127.0.0.1:9000"}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_yaml_loads(block: str, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "webhooks").write_text("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    rest = {"version:": "version: 1\n", "plans:": PLANS, "services:": SERVICES}
    missing = [text for section, text in rest.items() if section not in block]
    (tmp_path / "gate.yaml").write_text("\n".join([block, *missing]))
    load(tmp_path / "gate.yaml", VARIABLES)
