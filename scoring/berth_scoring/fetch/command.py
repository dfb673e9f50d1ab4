"""The command `berth-scoring fetch`: bring all that is configured, then report to the operator."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from berth_scoring.config import CodeSource, Layout, ModelSource, ScoringConfig
from berth_scoring.fetch.archive import UnpackLimits
from berth_scoring.fetch.artifact import Artifact, Fetcher
from berth_scoring.fetch.cache import Cache
from berth_scoring.fetch.errors import FetchError
from berth_scoring.fetch.https import Downloader
from berth_scoring.fetch.storage import Storage
from berth_scoring.fetch.transfer import Patience
from berth_scoring.reading import ConfigError
from berth_scoring.termination import LIMIT_BYTES, write_termination_message

logger = logging.getLogger(__name__)


class _FailureError(Exception):
    """Why the container ends: `REASON: message`."""


def main(environment: Mapping[str, str]) -> int:
    """Fetch models and code, tell the result in the termination log, and return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("azure").setLevel(logging.ERROR)  # else it tells of every request
    layout = Layout.from_environment(environment)
    try:
        config = ScoringConfig.from_environment(environment)
        cache = _cache(config)
        report = fetch_all(config, layout, _fetcher(config, layout, cache))
    except ConfigError as error:
        return _fail(layout, f"ConfigInvalid: {error}")
    except _FailureError as error:
        return _fail(layout, str(error))
    layout.root.mkdir(parents=True, exist_ok=True)
    layout.fetched.write_text(json.dumps(report))
    if cache is not None:
        cache.prune()
    write_termination_message(layout.termination_log, report_text(report))
    return 0


def _cache(config: ScoringConfig) -> Cache | None:
    if config.edge is None or config.edge.cache_dir is None:
        return None
    # Several modules of a device may be given the same folder.
    return Cache(config.edge.cache_dir / config.namespace / config.name)


def _fetcher(config: ScoringConfig, layout: Layout, cache: Cache | None) -> Fetcher:
    patience = Patience()
    storage = Storage(patience, config.storage_endpoints)
    return Fetcher(Downloader(patience), storage, layout.root / ".fetch", UnpackLimits(), cache)


def fetch_all(config: ScoringConfig, layout: Layout, fetcher: Fetcher) -> dict[str, Any]:
    """Fetch one after the other and return the report: the digests seen."""
    models = [
        {"name": model.name, "version": model.version, "digest": _fetch_model(model, layout, fetcher)}
        for model in config.models
    ]
    code = {"digest": _fetch_code(config.code, layout, fetcher)} if config.code else None
    return {"models": models, "code": code}


def report_text(report: dict[str, Any]) -> str:
    """Return the report as JSON that fits the termination log, with fewer models if it must be."""
    models = report["models"]
    text = json.dumps(report, separators=(",", ":"))
    while len(text) > LIMIT_BYTES and models:
        models = models[: len(models) * LIMIT_BYTES // len(text)]
        text = json.dumps(report | {"models": models, "truncated": True}, separators=(",", ":"))
    return text


def _fetch_model(model: ModelSource, layout: Layout, fetcher: Fetcher) -> str:
    artifact = _artifact(model, layout.model(model))
    return _fetch(fetcher, artifact, kind="Model", label=f"model {model.name}:{model.version}")


def _fetch_code(code: CodeSource, layout: Layout, fetcher: Fetcher) -> str:
    digest = _fetch(fetcher, _artifact(code, layout.code), kind="Code", label="code")
    if not (layout.code / code.scoring_script).is_file():
        there = ", ".join(sorted(path.name for path in layout.code.iterdir())[:10])
        raise _FailureError(
            f"ScoringScriptMissing: the code has no {code.scoring_script}; it holds {there or 'nothing'}"
        )
    return digest


def _artifact(wanted: ModelSource | CodeSource, target: Path) -> Artifact:
    return Artifact(
        uri=wanted.uri,
        target=target,
        source=wanted.source,
        sha256=wanted.sha256,
        credentials_dir=wanted.credentials_dir,
    )


def _fetch(fetcher: Fetcher, artifact: Artifact, *, kind: str, label: str) -> str:
    start = time.monotonic()
    try:
        sha256 = fetcher.fetch(artifact)
    except FetchError as error:
        raise _FailureError(f"{kind}{error.cause}: {label}: {error}") from error
    logger.info("fetched %s in %.1f s, sha256:%s", label, time.monotonic() - start, sha256)
    return f"sha256:{sha256}"


def _fail(layout: Layout, line: str) -> int:
    logger.error(line)
    write_termination_message(layout.termination_log, line)
    return 1
