"""Who PostgreSQL runs as: it refuses root, and initdb refuses a user id without a name.

Standard library only: the launcher imports it (see launch.py).
"""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CLONE_NEWUSER = 0x10000000
OS_USERS = ("postgres", "nobody")


class NoIdentity(Exception):
    """Nobody here may run PostgreSQL; the message says what is missing and what to do."""


def become(identity: str, *, home: Path, bin_dir: Path) -> None:
    """Turn into a user PostgreSQL agrees to run as: it refuses root and ids without a name."""
    if identity == "auto":
        identity = _choose_identity()
    if identity == "namespace":
        _enter_namespace()
    elif identity != "direct":
        _become_os_user(identity, home=home, bin_dir=bin_dir)


def _choose_identity() -> str:
    uid = os.geteuid()
    if uid != 0 and _has_name(uid):
        return "direct"
    if _in_child(_enter_namespace) == 0:
        return "namespace"
    if uid != 0:
        raise NoIdentity(
            f"user id {uid} has no name in /etc/passwd, which initdb needs, and user namespaces are "
            f"forbidden here. Add a passwd entry, or set POSTROOM_DATABASE_URL."
        )
    for name in OS_USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise NoIdentity(
        "PostgreSQL refuses to run as root, user namespaces are forbidden here, and there is neither a user "
        "'postgres' nor 'nobody'. Add one (useradd --system postgres), run as an ordinary user, or set "
        "POSTROOM_DATABASE_URL."
    )


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _enter_namespace() -> None:
    """Show ourselves under another id in a user namespace of our own; on disk nothing changes owner.

    The id must have a name, since initdb looks it up; which one it is has no other effect.
    """
    names = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    names.sort(key=lambda entry: entry.pw_name != "postgres")
    if not names:
        raise NoIdentity("/etc/passwd names no user but root, and initdb needs a name")
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are forbidden here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{names[0].pw_uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{names[0].pw_gid or 1} {gid} 1")


def _become_os_user(name: str, *, home: Path, bin_dir: Path) -> None:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise NoIdentity(f"there is no OS user {name!r}") from None
    os.chown(home, user.pw_uid, user.pw_gid)  # made by us, for this server only
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    for path, remedy in (
        (home, "choose a state folder it can reach, such as /var/lib/postroom (POSTROOM_STATE_DIR)"),
        (bin_dir / "postgres", "install PostgreSQL on the machine, or move the environment where it can"),
    ):
        if not os.access(path, os.X_OK):
            raise NoIdentity(
                f"user namespaces are forbidden here, so PostgreSQL must run as the OS user {name!r}, which "
                f"cannot reach {path}: {remedy}; or run as an ordinary user, or set POSTROOM_DATABASE_URL."
            )


def _in_child(attempt: Callable[[], None]) -> int:
    """Exit status of `attempt` tried in a fork, so that half a success leaves no trace in us."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            attempt()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
