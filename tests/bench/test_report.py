"""A run that did not do the job is no result, and a result is a ratio within one run."""

import pytest

from bench.jobs import ALLOWED, HIT, LEASED, LIMITED, LIMITED_EACH, UNAUTHORIZED, Job
from bench.load import Load, parsed
from bench.report import objections, summary, table, verdicts
from bench.rounds import Round
from bench.rounds import objections as objections_to_round

CLEAN = Load(requests=1000, duration_us=1_000_000, p50_us=900, p99_us=2000, refused=0, broken=0)


def rounds(*costs: float) -> list[Round]:
    return [Round(CLEAN, cost, 10.0, ()) for cost in costs]


def test_the_median_round_speaks_for_a_gateway() -> None:
    of = summary(rounds(30, 90, 40), peak_memory_kib=2048)
    assert (of.cpu_us, of.cpu_us_least, of.cpu_us_most) == (40, 30, 90)
    assert of.requests_per_s == 1000


def test_the_table_gives_each_gateway_its_ratio_to_nginx() -> None:
    shown = table({"native": summary(rounds(50), 1024), "nginx": summary(rounds(40), 1024)})
    native, peer = shown.splitlines()[2:]
    assert "50.0 (50.0–50.0) | 1.25 |" in native
    assert "| 1.00 |" in peer


def test_a_bar_is_met_or_missed_within_one_run() -> None:
    measured = {"native": 61.0, "nginx": 40.0, "asgi": 80.0, "seed": 1300.0}
    said = verdicts(
        {(name, "allowed"): summary(rounds(cost), 0) for name, cost in measured.items()}
    )
    assert [line.partition(":")[0] for line in said] == ["MISSED", "met", "met"]


def test_a_bar_may_compare_two_jobs() -> None:
    measured = {("native", "429"): 20.0, ("nginx", "allowed"): 40.0, ("nginx", "429"): 10.0}
    (said,) = verdicts({case: summary(rounds(cost), 0) for case, cost in measured.items()})
    assert said.startswith(
        "met: Tidegate, native door (429) costs 0.5 × nginx + Lua + Redis (allowed)"
    )


def test_a_bar_without_its_peer_says_nothing() -> None:
    assert verdicts({("native", "allowed"): summary(rounds(40), 0)}) == []


@pytest.mark.parametrize(
    "seen, proxied, decided, expected",
    [
        (CLEAN, 1000, 1000, ()),
        (CLEAN, 1032, 1032, ()),
        (CLEAN._replace(refused=3), 1000, 1000, ("3 answers were not 200",)),
        (CLEAN._replace(broken=1), 1000, 1000, ("1 connections failed",)),
        (CLEAN, 998, 1000, ("2 answers did not come from the upstream",)),
        (CLEAN, 1000, 0, ("1000 answers were given without asking the store",)),
        (CLEAN._replace(requests=0), 0, 0, ("answered nothing",)),
    ],
)
def test_a_round_that_skipped_the_job_is_objected_to(
    seen: Load, proxied: int, decided: int, expected: tuple[str, ...]
) -> None:
    assert objections_to_round(seen, ALLOWED, proxied=proxied, decided=decided) == expected


REFUSED = CLEAN._replace(refused=1000)


@pytest.mark.parametrize(
    "job, seen, proxied, decided, expected",
    [
        (UNAUTHORIZED, REFUSED, 1, 0, ()),
        (UNAUTHORIZED, REFUSED._replace(refused=998), 1, 0, ("2 answers were not 401",)),
        (UNAUTHORIZED, REFUSED, 1000, 0, ("1000 answers came from the upstream",)),
        (LIMITED, REFUSED, 1, 1000, ()),
        (LIMITED, REFUSED, 1, 999, ("1 answers were given without asking the store",)),
        (LIMITED_EACH, REFUSED, 1, 1000, ()),
        (LIMITED_EACH, REFUSED, 1, 999, ("1 answers were given without asking the store",)),
        (LEASED, CLEAN, 1000, 1, ()),
        (LEASED, CLEAN, 1000, 0, ("the store was never asked",)),
        (HIT, CLEAN, 33, 1000, ()),
        (HIT, CLEAN, 34, 1000, ("34 answers came from the upstream",)),
    ],
)
def test_each_job_says_what_its_work_is(
    job: Job, seen: Load, proxied: int, decided: int, expected: tuple[str, ...]
) -> None:
    assert objections_to_round(seen, job, proxied=proxied, decided=decided) == expected


def test_a_proxy_without_a_store_is_not_asked_for_decisions() -> None:
    said = objections_to_round(CLEAN, ALLOWED, proxied=1000, decided=0, asks_store=False)
    assert said == ()


def test_an_objection_names_gateway_and_round() -> None:
    bad = Round(CLEAN, 40.0, 10.0, ("3 answers were not 200",))
    assert objections({("native", "allowed"): [*rounds(40), bad]}) == [
        "Tidegate, native door (allowed), round 2: 3 answers were not 200"
    ]


def test_what_wrk_reports_is_read_from_its_own_line() -> None:
    output = "Running 1s test\n\nresult " + (
        '{"requests": 1000, "duration_us": 1000000, "p50_us": 900, "p99_us": 2000,'
        ' "refused": 0, "broken": 0}\n'
    )
    assert parsed(output) == CLEAN


def test_who_repeats_refusals_asks_the_store_at_least_once() -> None:
    def said(decided: int) -> tuple[str, ...]:
        return objections_to_round(REFUSED, LIMITED, proxied=1, decided=decided, repeats=True)

    assert said(2) == ()
    assert said(0) == ("the store was never asked",)
