"""Telemetry: metrics, the access log, usage and decision records of one worker, and their sums."""

from tidegate.telemetry.access_log import AccessLog
from tidegate.telemetry.apart import written_apart
from tidegate.telemetry.decisions import DecisionSamples, decisions_after, recent_decisions
from tidegate.telemetry.exposition import CONTENT_TYPE, exposition
from tidegate.telemetry.families import FAMILIES
from tidegate.telemetry.fold import parts_of
from tidegate.telemetry.log_lines import line_format
from tidegate.telemetry.meters import Meter
from tidegate.telemetry.recorder import Recorder
from tidegate.telemetry.telemetry import Reading, Telemetry
from tidegate.telemetry.usage import UsageRow, read_usage

__all__ = [
    "CONTENT_TYPE",
    "FAMILIES",
    "AccessLog",
    "DecisionSamples",
    "Meter",
    "Reading",
    "Recorder",
    "Telemetry",
    "UsageRow",
    "decisions_after",
    "exposition",
    "line_format",
    "parts_of",
    "read_usage",
    "recent_decisions",
    "written_apart",
]
