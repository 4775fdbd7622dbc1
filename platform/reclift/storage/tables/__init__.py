"""The mapped classes. Import them from here."""

from reclift.storage.tables.base import Base, Json, UtcDateTime
from reclift.storage.tables.catalogue import Alias, ItemRow, NewItem, Profile
from reclift.storage.tables.configuration import (
    Account,
    ApiKey,
    ArmRow,
    AuditEntry,
    Configuration,
    ExperimentRow,
    MetricRow,
    Placement,
    SavedGroupRow,
)
from reclift.storage.tables.facts import DeadLetter, DirtyUnit, EventRow, ExposureRow, ImpressionRow
from reclift.storage.tables.results import (
    EvaluationRow,
    ExperimentUnit,
    JobLock,
    JobRun,
    ModelRow,
    PositionTotal,
    ReportRow,
    UnitDay,
    UnitTotal,
)

__all__ = [
    "Account",
    "Alias",
    "ApiKey",
    "ArmRow",
    "AuditEntry",
    "Base",
    "Configuration",
    "DeadLetter",
    "DirtyUnit",
    "EvaluationRow",
    "EventRow",
    "ExperimentRow",
    "ExperimentUnit",
    "ExposureRow",
    "ImpressionRow",
    "ItemRow",
    "JobLock",
    "JobRun",
    "Json",
    "MetricRow",
    "ModelRow",
    "NewItem",
    "Placement",
    "PositionTotal",
    "Profile",
    "ReportRow",
    "SavedGroupRow",
    "UnitDay",
    "UnitTotal",
    "UtcDateTime",
]
