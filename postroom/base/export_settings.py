"""Settings of exports: what files are like, and where they are put."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from postroom.base.setting_forms import of_form

DestinationName = Annotated[
    str, of_form(r"[a-z0-9_]{1,30}", "a name of small letters, digits and underscores, such as acme")
]


class ExportDestination(BaseModel):
    """Where the files of some tenants or datasets are put. Files that lie there already stay there, and are
    looked after for as long as it is named here."""

    url: str
    """As `POSTROOM_EXPORTS__URL`; a bucket or a prefix that no other one has."""
    options: dict[str, SecretStr] = Field(default_factory=dict)
    """As `POSTROOM_EXPORTS__OPTIONS`: its own credentials, which none of the others sees."""
    tenants: frozenset[str] = frozenset()
    """As JSON, `["acme"]`: records of these tenants. Unset: of every tenant, but `datasets` must be set."""
    datasets: frozenset[str] = frozenset()
    """As JSON, `["invoices"]`: records of these datasets. Unset: of every dataset. A destination that names
    both goes before one that names tenants, and that before one that names datasets."""

    model_config = ConfigDict(extra="forbid")

    @property
    def rank(self) -> int:
        """How closely it names what it is for."""
        return 2 * bool(self.tenants) + bool(self.datasets)

    def takes(self, *, dataset: str, tenant: str) -> bool:
        return (not self.tenants or tenant in self.tenants) and (
            not self.datasets or dataset in self.datasets
        )


class ExportSettings(BaseModel):
    """Exports out."""

    url: str | None = None
    """`file:///…`, `s3://bucket/prefix`, `gs://…`, `az://…`. Unset: files below the state folder."""
    layout: str = "{dataset}/{tenant}/dt={date}"
    """Folder of a file, below `url`, and below `ledger=NAME` where there are several. `{dataset}` must be in
    it; what it leaves out shares files. `{date}` is the day, in UTC, of the record's own time."""
    format: Literal["ndjson", "csv", "parquet"] = "ndjson"
    """What files are written as; `parquet` needs the extra of that name. What is open keeps its format."""
    formats: dict[str, Literal["ndjson", "csv", "parquet"]] = Field(default_factory=dict)
    """The same for single datasets, as JSON, or one by one: `POSTROOM_EXPORTS__FORMATS__INVOICES=parquet`."""
    schemas: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Fields of a dataset's records, as JSON: `{"orders": {"id": "integer", "note": "string?"}}`. Types are
    boolean, integer, number, string, timestamp, json; `?`: may be null or missing. A record with another
    field or type dies. Unset: CSV and Parquet hold to what the first records had; NDJSON to nothing."""
    time_fields: dict[str, str] = Field(default_factory=dict)
    """Where the records of a dataset have their time, as JSON
    (`{"invoices": "status_transitions.paid_at"}`), or one by one: `POSTROOM_EXPORTS__TIME_FIELDS__INVOICES`.
    Then a record without it dies. Unset: `created` where it is a time, else when the record was published."""
    roll_s: float = Field(default=300.0, ge=0, le=3_600)
    """A file closes so many seconds after its first record, or when it is full, and is stored then. 0: what
    is claimed together is stored at once."""
    records_max: int = Field(default=20_000, ge=1, le=100_000)
    """Records in one file. It has 64 MB at most before compression, too."""
    compact_files: int = Field(default=8, ge=0)
    """A folder with so many small files, which has not changed for an hour, gets one of them; 0: never."""
    age_max_days: float = Field(default=14.0, gt=0, le=3_650)
    """A record that has waited for so long is not stored any more: it dies with the cause `expired`."""
    options: dict[str, str] = Field(default_factory=dict, repr=False)
    """Options of the object store, as JSON, or one by one: `POSTROOM_EXPORTS__OPTIONS__ENDPOINT`."""
    destinations: dict[DestinationName, ExportDestination] = Field(default_factory=dict)
    """Places of their own for tenants and datasets: `POSTROOM_EXPORTS__DESTINATIONS__ACME__URL` and so on,
    see below. All other records go to `url`."""

    def destination_of(self, *, dataset: str, tenant: str) -> str | None:
        """The name of the place for such records; None for `url`."""
        found = [
            (each.rank, name)
            for name, each in self.destinations.items()
            if each.takes(dataset=dataset, tenant=tenant)
        ]
        return max(found)[1] if found else None

    def with_options_of(self, fresh: ExportSettings) -> ExportSettings:
        """The same places with the credentials that those settings have for them."""
        named = {
            name: each.model_copy(update={"options": fresh.destinations[name].options})
            if name in fresh.destinations
            else each
            for name, each in self.destinations.items()
        }
        return self.model_copy(update={"options": fresh.options, "destinations": named})


def destination_faults(exports: ExportSettings) -> Iterator[str]:
    """What is wrong with the destinations, each and together."""
    for name, each in exports.destinations.items():
        if not each.rank:
            yield f"{destination_setting(name)}: name tenants or datasets, which others are not for"
        if each.url == exports.url:
            yield f"{destination_setting(name, 'URL')}: the same as POSTROOM_EXPORTS__URL"
    for (name, one), (other_name, other) in combinations(exports.destinations.items(), 2):
        if one.url == other.url:
            yield f"{destination_setting(name, 'URL')}: the same as of {other_name}"
        tenants, datasets = one.tenants & other.tenants, one.datasets & other.datasets
        if one.rank == other.rank and (tenants or not one.tenants) and (datasets or not one.datasets):
            yield (
                f"{destination_setting(name)}: takes the same records as {other_name}: "
                f"{', '.join(sorted(tenants or datasets))}"
            )


def destination_setting(name: str, field: str = "…") -> str:
    return f"POSTROOM_EXPORTS__DESTINATIONS__{name.upper()}__{field}"
