"""Who may write into the audit trail: the actions of `postroom.admin`, and no face of them."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "postroom"
FACES = ("api", "console", "cli", "jobs", "dev")
# Whether somebody gets in is decided at the door itself.
DOORS = {"api/auth.py"} | {
    f"console/access/{name}.py" for name in ("oidc_sign_in", "sign_in", "sign_in_link")
}


def writes_the_trail(path: Path) -> bool:
    """Whether it takes `record` from the module of the trail, or calls it there."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module="postroom.admin.audit", names=names):
                if any(each.name == "record" for each in names):
                    return True
            case ast.Attribute(value=ast.Name(id="audit"), attr="record"):
                return True
    return False


def test_a_face_leaves_the_audit_row_to_the_action() -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for face in FACES
        for path in (PACKAGE / face).rglob("*.py")
        if writes_the_trail(path)
    }
    assert found == DOORS
