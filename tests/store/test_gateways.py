"""Who runs on a data directory, as the running gateways tell it, and who may run beside them."""

import os
import stat
from pathlib import Path

import pytest

from tidegate.store.gateways import FOLDER, Advertised, AnotherGateway, advertised, running_gateway

FIRST = Advertised("/a.yaml", 1, url="http://127.0.0.1:8001", store="embedded")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data"


def records(place: Path) -> list[Path]:
    return list((place / FOLDER).iterdir())


def test_a_gateway_is_told_of_while_it_lives_to_its_owner_alone(place: Path) -> None:
    assert running_gateway(place) is None
    with advertised(place, FIRST):
        assert running_gateway(place) == FIRST
        assert [stat.S_IMODE(record.stat().st_mode) for record in records(place)] == [0o600]
    assert running_gateway(place) is None
    assert records(place) == []


def test_what_is_known_later_is_told_then(place: Path) -> None:
    with advertised(place, Advertised("/a.yaml", 1)) as record:
        record.tell(FIRST)
        assert running_gateway(place) == FIRST


def test_what_a_killed_gateway_told_is_not_believed_and_bars_nobody(place: Path) -> None:
    if (pid := os.fork()) == 0:
        with advertised(place, FIRST):
            os._exit(0)
    os.waitpid(pid, 0)
    assert len(records(place)) == 1
    assert running_gateway(place) is None
    second = Advertised("/b.yaml", 2)
    with advertised(place, second):
        assert running_gateway(place) == second
        assert len(records(place)) == 1


@pytest.mark.parametrize(
    "second", [Advertised("/b.yaml", 2), Advertised("/a.yaml", 2, written="other words")]
)
def test_beside_a_gateway_none_with_another_configuration_may_run(
    place: Path, second: Advertised
) -> None:
    with (
        advertised(place, FIRST),
        pytest.raises(AnotherGateway, match=r"pid 1, with the configuration /a\.yaml"),
        advertised(place, second),
    ):
        raise AssertionError("it was let in")
    with advertised(place, second):
        assert running_gateway(place) == second


def test_of_several_with_one_configuration_the_first_that_can_be_asked_is_told_of(
    place: Path,
) -> None:
    second = Advertised("/a.yaml", 2, url="http://127.0.0.1:8002")
    third = Advertised("/a.yaml", 3)
    with advertised(place, third), advertised(place, second):
        with advertised(place, FIRST):
            assert running_gateway(place) == second
        assert running_gateway(place) == second
    with advertised(place, third):
        assert running_gateway(place) == third


def test_a_live_record_that_says_nothing_is_passed_over_and_more_than_is_known_too(
    place: Path,
) -> None:
    with advertised(place, FIRST):
        (record,) = records(place)
        text = record.read_text()
        record.write_text("")
        assert running_gateway(place) is None
        with advertised(place, Advertised("/b.yaml", 2)):
            assert record.exists()
        record.write_text(text.replace("{", '{"news": 1, ', 1))
        assert running_gateway(place) == FIRST


def test_where_nothing_can_be_written_a_gateway_runs_all_the_same(place: Path) -> None:
    place.touch()
    with advertised(place, FIRST) as record:
        record.tell(FIRST)
        assert running_gateway(place) is None
