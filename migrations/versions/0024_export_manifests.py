"""A manifest for each folder of exports."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0024"
down_revision = "0021"


def upgrade() -> None:
    # Runners of before store files that no manifest lists; the job `export-files` of a newer one lists them.
    run_files("hold", "export_manifests")
