"""The termination log: where a container tells the operator how it ended."""

from pathlib import Path

LIMIT_BYTES = 4096
"""What the kubelet reads of it; it drops the rest."""


def write_termination_message(path: Path, text: str) -> None:
    """Leave `text`, cut to 4096 bytes, where the kubelet reads it, if there is a kubelet."""
    encoded = text.encode(errors="replace")[:LIMIT_BYTES]
    try:
        path.write_bytes(encoded.decode(errors="ignore").encode())
    except (FileNotFoundError, PermissionError):
        return
