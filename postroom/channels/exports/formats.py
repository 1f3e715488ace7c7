"""A file's format: the end of its name says it, so that settings may change while it is open."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from postroom.base.errors import SettingsInvalid
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports import csv, ndjson, parquet
from postroom.channels.exports.model import DATASET, ExportRecord
from postroom.channels.exports.schema import read_declared

SUFFIXES: Final = {"ndjson": ".ndjson.gz", "csv": ".csv.gz", "parquet": ".parquet"}


class Formats:
    """How the files of each dataset are written, and what their records must be like."""

    def __init__(self, settings: ExportSettings) -> None:
        """Errors: `SettingsInvalid`, also where a library is missing."""
        self._settings = settings
        self.declared = read_declared(settings.schemas)
        faults = [
            f"POSTROOM_EXPORTS__FORMATS: {name!r} is no dataset"
            for name in settings.formats
            if not _known(name)
        ]
        if "parquet" in (settings.format, *settings.formats.values()) and not parquet.installed():
            faults.append(
                "POSTROOM_EXPORTS__FORMAT: parquet needs pyarrow: pip install 'postroom[server,parquet]'"
            )
        if faults:
            raise SettingsInvalid(faults)

    def suffix(self, dataset: str) -> str:
        return SUFFIXES[self._settings.formats.get(dataset, self._settings.format)]

    @property
    def default_has_schema(self) -> bool:
        return self._settings.format != "ndjson"

    @property
    def named(self) -> Collection[str]:
        """The datasets that have settings of their own."""
        return self.declared.keys() | self._settings.formats.keys()

    def has_schema(self, dataset: str) -> bool:
        """NDJSON only where one is declared."""
        return dataset in self.declared or self.suffix(dataset) != SUFFIXES["ndjson"]


def write(path: str, records: Sequence[ExportRecord], fields: Mapping[str, str]) -> bytes:
    """The content of the file of this name."""
    if path.endswith(SUFFIXES["parquet"]):
        return parquet.write(records, fields)
    return csv.compress(records, fields) if path.endswith(SUFFIXES["csv"]) else ndjson.compress(records)


def _known(dataset: str) -> bool:
    return DATASET.fullmatch(dataset) is not None
