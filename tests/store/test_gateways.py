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


def test_what_somebody_else_may_have_written_is_not_believed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with advertised(place, FIRST):
        (record,) = records(place)
        for path in (place, place / FOLDER, record):
            mode = stat.S_IMODE(path.stat().st_mode)
            for others in (0o020, 0o002):
                path.chmod(mode | others)
                assert running_gateway(place) is None, path
            path.chmod(mode)
        assert running_gateway(place) == FIRST
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert running_gateway(place) is None


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_a_name_that_leads_elsewhere_is_passed_over(place: Path, what: str) -> None:
    elsewhere = place.parent / "elsewhere"
    with advertised(elsewhere, FIRST):
        (place / FOLDER).mkdir(parents=True, mode=0o700)
        place.chmod(0o700)
        name = place / FOLDER / "1.json"
        if what == "link":
            (record,) = records(elsewhere)
            name.symlink_to(record)
        else:
            os.mkfifo(name)
        assert running_gateway(place) is None
