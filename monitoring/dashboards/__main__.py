"""`python -m monitoring.dashboards [--check]` writes the dashboards, or says which are not current."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards import jobs, outbox, overview
from monitoring.dashboards.panel import build

FOLDER: Final = Path(__file__).parents[1] / "grafana"
PAGES: Final = (overview.PAGE, outbox.PAGE, jobs.PAGE)


def rendered() -> dict[Path, str]:
    """What the files must hold."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {FOLDER / f"{page.uid}.json": encoder.encode(build(page)) + "\n" for page in PAGES}


def stale() -> list[str]:
    """Names of files that are missing, differ, or belong to no dashboard."""
    wanted = rendered()
    differ = {path for path, text in wanted.items() if not path.exists() or path.read_text() != text}
    return sorted(path.name for path in differ | (set(FOLDER.glob("*.json")) - set(wanted)))


def main() -> int:
    if "--check" in sys.argv:
        names = stale()
        if names:
            print(f"Not current: {', '.join(names)}. Run: python -m monitoring.dashboards", file=sys.stderr)
        return int(bool(names))
    for path, text in rendered().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
