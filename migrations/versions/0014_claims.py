"""What a worker holds is found by an index, and a crash spends attempts of what was started only."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    # A new table, and a column that is null: no row is written. Claims of runners of before have no row in
    # the table; the rescuer's sweep finds those of dead ones. They write down no starts, so what kills only
    # them spends no attempts until they are upgraded.
    run_files("claims")
