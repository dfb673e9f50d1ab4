"""Where the sandbox keeps what outlives a checkout."""

import os
from pathlib import Path

PINS = Path(__file__).resolve().parents[1] / "cluster"
REPOSITORY = PINS.parents[1]


def cache() -> Path:
    """Return the folder of built binaries, images and running clusters: `$XDG_CACHE_HOME/berth`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "berth"
