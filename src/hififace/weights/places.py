"""The folders of what is kept for this user. Nothing here makes them."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_dir() -> Path:
    """The folder of what is kept for this user: `HIFIFACE_HOME`, or the platform's place."""
    chosen = os.environ.get("HIFIFACE_HOME")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "hififace"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "hififace"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "hififace"


def model_dir() -> Path:
    """The folder of fetched and user-supplied files, below `data_dir()`."""
    return data_dir() / "models"


def cards_dir() -> Path:
    """The folder of the user's own cards (`*.toml`), below `data_dir()`."""
    return data_dir() / "cards"
