"""What happens before the first request: models and scripts are loaded, or the reason why not is told."""

import importlib
import itertools
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from berth_scoring.compat import finder
from berth_scoring.config import CodeSource, Layout, ModelSource, ScoringConfig
from berth_scoring.script import Script, load_script

if TYPE_CHECKING:
    from berth_scoring.formats.base import FormatModel

FORMATS = {"sklearn": "berth_scoring.formats.sklearn", "onnx": "berth_scoring.formats.onnx"}

LISTING_LINES = 200
TRACEBACK_LINES = 20


class StartupError(Exception):
    """The server cannot start; `reason` is in CamelCase and for a condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")


def export_environment(config: ScoringConfig, layout: Layout) -> None:
    """Set what scripts read; the user's own variables do not override where the models are."""
    os.environ["AZUREML_MODEL_DIR"] = str(layout.model_dir(config.models))
    if config.code is not None:
        os.environ["AML_APP_ROOT"] = str(layout.code)
        os.environ["AZUREML_ENTRY_SCRIPT"] = config.code.scoring_script


@contextmanager
def loading(reason: str) -> Iterator[None]:
    """Tell whatever goes wrong in the block as the reason why the server cannot start."""
    try:
        yield
    except StartupError:
        raise
    except Exception as error:  # a file that is no model makes a library raise anything
        raise _failure(reason, error) from error


def start_script(code: CodeSource, layout: Layout) -> Script:
    """Import the script and call its `init` in the calling thread."""
    finder.install()
    sys.path.append(str(layout.code))
    try:
        os.chdir(layout.code)
        script = load_script(layout.code / code.scoring_script)
    except BaseException as error:  # a script may even exit while it is imported
        raise _failure("ScriptLoadFailed", error) from error
    try:
        script.init()
    except BaseException as error:  # it may exit in here as well
        _print_listing(Path(os.environ["AZUREML_MODEL_DIR"]))
        raise _failure("ScriptInitFailed", error) from error
    return script


def load_model(model: ModelSource, layout: Layout, threads: int) -> "FormatModel":
    """Load a model by its format alone."""
    if model.format not in FORMATS:
        known = ", ".join(FORMATS)
        text = (
            f"model {model.name} has the format {model.format!r}; without a script it must be one of {known}"
        )
        raise StartupError("ModelLoadFailed", text)
    try:
        runtime = importlib.import_module(FORMATS[model.format])
        loaded: FormatModel = runtime.load(layout.model(model), threads)
    except Exception as error:  # a file that is no model makes a library raise anything
        raise _failure("ModelLoadFailed", error) from error
    return loaded


def listing(path: Path, depth: int = 0) -> Iterator[str]:
    """Yield the tree below `path`, one line per file or folder."""
    yield f"{' ' * 4 * depth}{path.name}{'/' if path.is_dir() else ''}"
    if path.is_dir():
        for child in sorted(path.iterdir()):
            yield from listing(child, depth + 1)


def _print_listing(folder: Path) -> None:
    lines = listing(folder)
    text = list(itertools.islice(lines, LISTING_LINES))
    more = [f"(only the first {LISTING_LINES} lines are shown)"] if next(lines, None) else []
    print("Model directory contents:", *text, *more, sep="\n", file=sys.stderr)  # noqa: T201 - for kubectl logs


def _failure(reason: str, error: BaseException) -> StartupError:
    traceback.print_exception(error)
    lines = "".join(traceback.format_exception(error)).splitlines()
    summary = f"{type(error).__name__}: {error}"
    return StartupError(reason, "\n".join([summary, *lines[-TRACEBACK_LINES:]]))
