"""What a process knows of its schema without the library that migrates."""

from __future__ import annotations

import subprocess
import sys

from alembic.config import Config
from alembic.script import ScriptDirectory

from postroom.base.schema import head, migrations_folder, read_schema


def test_files_are_named_as_alembic_orders_their_revisions() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [head()]
    assert {each.revision for each in scripts.walk_revisions()} == read_schema().known


def test_nobody_but_who_migrates_pays_for_alembic() -> None:
    program = (
        "import sys, postroom.main, postroom.jobs.run, postroom.cli.application\n"
        "print(sorted({'alembic', 'sqlalchemy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
