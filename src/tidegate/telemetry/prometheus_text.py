"""The summed numbers as Prometheus reads them.

A collector of our own over the workers' files, and not prometheus-client's multiprocess mode: there
each change goes through to a mapped file and is found by its labels, at many times the cost of the
worker's own dicts; its directory must be in the environment before the library is imported; and
the files of workers that ended pile up.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tidegate.telemetry.families import FAMILIES, SEPARATOR, Family, Kind, Series, Value
from tidegate.telemetry.meters import BOUNDS_S


def prometheus_text(series: Series) -> bytes:
    """Return the text for /metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Workers(series))
    return generate_latest(registry)


class _Workers(Collector):
    def __init__(self, series: Series) -> None:
        self._series = series

    def collect(self) -> Iterator[Metric]:
        for name, family in FAMILIES.items():
            yield _metric(name, family, self._series.get(name, {}))


def _metric(name: str, family: Family, values: dict[str, Value]) -> Metric:
    match family.kind:
        case Kind.COUNTER:
            counter = CounterMetricFamily(name, family.help, labels=family.labels)
            for labels, value in sorted(values.items()):
                counter.add_metric(_labels(labels, family), _number(value))
            return counter
        case Kind.GAUGE:
            gauge = GaugeMetricFamily(name, family.help, labels=family.labels)
            for labels, value in sorted(values.items()):
                gauge.add_metric(_labels(labels, family), _number(value))
            return gauge
        case Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
            for labels, value in sorted(values.items()):
                if isinstance(value, list) and len(value) == len(BOUNDS_S) + 2:
                    histogram.add_metric(_labels(labels, family), _buckets(value), value[-1])
            return histogram


def _labels(joined: str, family: Family) -> list[str]:
    return joined.split(SEPARATOR) if family.labels else []


def _number(value: Value) -> float:
    return value if isinstance(value, (int, float)) else 0.0


def _buckets(counts: list[float]) -> list[tuple[str, float]]:
    """Return cumulative counts by upper bound."""
    total = 0.0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), counts[:-1], strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
