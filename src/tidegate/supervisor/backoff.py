"""How long to wait before a worker that ended by itself is started again.

Exponential with jitter: a fault that all workers share (a store that is away, a full disk) must
not make them restart in step, nor burn the machine's cores on imports.
"""

import random
from typing import Final

FIRST_S: Final = 0.25
"""About the CPU time that one start costs: a slot that keeps failing takes half a core at most."""


def restart_delay_s(failures: int, delay_s_max: float, random_unit: float | None = None) -> float:
    """Return the wait before the next start, after `failures` in a row.

    None in a row (the worker had lived a while): at once, since connections queue meanwhile.
    `random_unit`, in [0, 1), is drawn unless given; the wait is between half of the step and all.
    """
    if failures <= 0:
        return 0.0
    step_s = min(delay_s_max, FIRST_S * 2.0 ** min(failures - 1, 32))
    unit = random.random() if random_unit is None else random_unit  # noqa: S311 no secret
    return step_s * (0.5 + 0.5 * unit)
