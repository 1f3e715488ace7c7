"""Programs of the machine that some tests need, and the package of each: Debian's, or npm's.

`@pytest.mark.needs("promtool")` skips a test where its program is missing, and fails it in CI (`CI=true`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NoReturn

import pytest

PACKAGES: Final = {
    "amtool": "prometheus-alertmanager",
    "dovecot": "dovecot-imapd",
    "postconf": "postfix",
    "chromium": "chromium",
    "pgbouncer": "pgbouncer",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "psql": "postgresql-client",
    "rabbitmqctl": "rabbitmq-server",
    "systemd-analyze": "systemd",
}
LANGUAGES: Final = {
    "go": "golang-go",
    "node": "nodejs",
    "php": "php-cli",
    "rackup": "ruby ruby-rack ruby-webrick",
}
"""What samples of the documents are written in. CI skips them as well where they are not there."""
BUILDERS: Final = {"buildah": "buildah", "debootstrap": "debootstrap"}
"""What builds the image (`make image`). CI skips that, too, where they are not there."""
CLUSTER: Final = {"haproxy": "haproxy", "patroni": "patroni"}
"""What runs a cluster (`make chaos CLUSTER=patroni`). CI skips it as well where it is not there."""
NPM: Final = {"azurite-blob": "azurite@3.37.0"}
"""What `.ci/run` installs by npm. CI skips it as well where there is no npm, and where `.ci/run` has said by
`POSTROOM_TEST_NPM_FAILED` that npm's registry did not give it."""
NPM_FOLDER: Final = Path(__file__).resolve().parents[1] / ".azurite"
OTHER_NAMES: Final = {"chromium": "chromium-browser"}
_TOLD: Final = re.compile(r"needs \S+ \((?:Debian: )?((?:apt-get|npm) install [^)]+)\)")


def find(program: str) -> str | None:
    """Its path; what only root has on PATH counts too, and what npm has installed here."""
    names = (program, OTHER_NAMES.get(program, program))
    return next((path for name in names if (path := shutil.which(name, path=_path()))), None)


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", f"{NPM_FOLDER}/node_modules/.bin"))


def require(program: str) -> str:
    """Its path. Skips the test that runs where it is missing; in CI fails it, if it is one of `PACKAGES` or
    could have come by npm."""
    return find(program) or _missing(program)


def _missing(program: str) -> NoReturn:
    if program in NPM:
        told = f"needs {program} (npm install --prefix {NPM_FOLDER.name} {NPM[program]})"
        expected = find("npm") is not None and not os.environ.get("POSTROOM_TEST_NPM_FAILED")
    else:
        package = (PACKAGES | LANGUAGES | BUILDERS | CLUSTER)[program]
        told, expected = f"needs {program} (Debian: apt-get install {package})", program in PACKAGES
    if expected and os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(told, pytrace=False)
    pytest.skip(told)


def lines_of_missing(reasons: Iterable[str]) -> list[str]:
    """What a machine lacks, from the reasons of skipped tests: one line a package."""
    counts = Counter(found[1] for reason in reasons if (found := _TOLD.search(reason)))
    return [
        f"skipped for lack of a program: {count} ({command})" for command, count in sorted(counts.items())
    ]
