"""Whatever keys, workers and delays there are: never more than a tenth beyond the exact limit."""

import asyncio
from itertools import accumulate

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rate_limiter.lending_kit import SECOND, Lender, Worker, bucket, tenants
from tidegate.rate_limiter.limits import caller_counters, compiled_subject

with_server = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


steps = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.integers(0, 2),
        st.sampled_from([0, 0, 0, 50, 1_000, 20_000, 200_000, 3 * SECOND]),
        st.integers(0, 3),
        st.integers(1, 40),
        st.sampled_from(["answer", "answer", "wait", "sweep"]),
    ),
    max_size=40,
)


@with_server
@given(steps, st.integers(1, 8), st.sampled_from([20, 60, 200]), st.integers(1, 400))
def test_beyond_the_exact_limit_at_most_a_tenth_of_the_burst_is_admitted(
    decide, steps, workers, burst, rate
) -> None:
    """Pain points 1 and 3, of batches: bursts that bypass a limit, limits times replicas.

    Three keys share the tenant's limit, each with one of its own beside it.
    """

    async def scenario() -> list[tuple[int, int]]:
        shared = bucket(f"{rate}/second", burst, name="all", per="tenant")
        tenant, own = next(tenants), bucket("1000/second", 9999)
        keys = [
            compiled_subject(caller_counters(tenant, f"k{number}", (own, shared)))
            for number in range(3)
        ]
        lender = Lender(decide, waits=True)
        fleet = [Worker(lender, workers) for _ in range(workers)]
        passed = []
        for worker, key, move, cost, times, then in steps:
            lender.now += move
            one = fleet[worker % workers]
            for _ in range(times):
                lender.now += 10
                held = one.borrower.take(keys[key], (cost,), lender.now / SECOND)
                if held is not None or one.admits(keys[key], cost):
                    passed.append((lender.now, cost))
            if then == "answer":
                lender.answer()
            elif then == "sweep":
                one.borrower._sweep(lender.now / SECOND)
            assert sum(each.borrower.held for each in fleet) <= burst // 10
        for each in fleet:
            each.borrower.close()
        lender.answer()
        assert all(not each.borrower._lent for each in fleet)
        return passed

    passed = asyncio.run(scenario())
    sums = [0, *accumulate(cost for _, cost in passed)]
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            stretch = passed[last][0] - passed[first][0]
            most = burst + rate * stretch / SECOND + burst // 10
            assert sums[last + 1] - sums[first] <= most
