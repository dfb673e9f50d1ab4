"""Begin as root and go on as somebody else: where a port below 1024, or a volume of root's, asks for that.

Root opens the port and makes readable what is not, and nothing else. The same command then begins anew in
the same process, as a user who cannot become root again; only that loads libraries, models and scripts.
"""

import contextlib
import ctypes
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from berth_scoring.config import Layout, ScoringConfig, config_text, config_variables
from berth_scoring.listener import LISTENER, bound
from berth_scoring.reading import ConfigError
from berth_scoring.termination import write_termination_message

FAILED = 3

_NO_NEW_PRIVILEGES = 38


def leave_root(command: str, environment: Mapping[str, str]) -> None:
    """Go on as the user that the configuration names; returns only where it names none."""
    try:
        config = ScoringConfig.from_environment(environment)
    except ConfigError:
        return  # the command tells
    if config.user is not None:
        layout = Layout.from_environment(environment)
        try:
            _go_on(command, dict(environment), config, layout, config.user)
        except OSError as error:
            _end(layout, f"ConfigInvalid: cannot go on as user {config.user}: {error}")


def _go_on(
    command: str, environment: dict[str, str], config: ScoringConfig, layout: Layout, user: int
) -> NoReturn:
    os.setgroups([])
    for path in (layout.root, layout.termination_log, "/dev/stdout", "/dev/stderr"):
        with contextlib.suppress(OSError):  # whoever needs it tells
            os.chown(path, user, user)
    environment |= _readable_folders(environment, config, user)
    if not _may(user, environment.get("HOME", ""), os.W_OK):
        environment["HOME"] = tempfile.gettempdir()
    if command != "fetch":
        with contextlib.suppress(OSError):  # the server tries again, and tells
            listener = bound(config.port)
            listener.set_inheritable(True)
            environment[LISTENER] = str(listener.detach())
    become(user)
    os.execve(sys.executable, [sys.executable, "-P", "-m", "berth_scoring", command], environment)  # noqa: S606


def become(user: int) -> None:
    """Be `user` with the group of the same number, for good; raises OSError where that fails."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    for regain in (os.setuid, os.setgid):
        with contextlib.suppress(PermissionError):
            regain(0)
            raise OSError("root could be regained")


def _readable_folders(environment: Mapping[str, str], config: ScoringConfig, user: int) -> dict[str, str]:
    """Copy the folders that the user may not read, and return the configuration that tells of the copies."""
    copies = {
        str(folder): str(_copied(folder, user))
        for folder in config.folders()
        if folder.is_dir() and not _may_read(user, folder)
    }
    if not copies:
        return {}
    return config_variables(json.dumps(_replaced(json.loads(config_text(environment)), copies)))


def _copied(folder: Path, user: int) -> Path:
    copy = Path(tempfile.mkdtemp(prefix="berth-"))
    # The kubelet keeps what a volume shows in hidden folders beside it.
    shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("..*"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o500 if path.is_dir() else 0o400)
        os.chown(path, user, user)
    return copy


def _replaced(data: object, copies: Mapping[str, str]) -> object:
    match data:
        case dict():
            return {name: _replaced(value, copies) for name, value in data.items()}
        case list():
            return [_replaced(value, copies) for value in data]
        case str():
            return copies.get(data, data)
    return data


def _may_read(user: int, folder: Path) -> bool:
    return all(
        _may(user, path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK)
        for path in (folder, *folder.rglob("*"))
    )


def _may(user: int, path: str | Path, mode: int) -> bool:
    with _acting_as(user):
        return os.access(path, mode, effective_ids=True)


@contextlib.contextmanager
def _acting_as(user: int) -> Iterator[None]:
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _end(layout: Layout, text: str) -> NoReturn:
    print(text, file=sys.stderr)  # noqa: T201 - for the container's log
    write_termination_message(layout.termination_log, text)
    raise SystemExit(FAILED)
