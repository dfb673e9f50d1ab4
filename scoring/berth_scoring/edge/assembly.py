"""Puts the parts of a module together."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from berth_scoring import __version__
from berth_scoring.access_log import AccessLog
from berth_scoring.config import EdgeOptions, Layout, ScoringConfig
from berth_scoring.edge.counts import Counts, EdgeCollector
from berth_scoring.edge.credentials import CredentialStore
from berth_scoring.edge.identity import ModuleIdentity
from berth_scoring.edge.intake import Intake, Record, Scorer
from berth_scoring.edge.module import BackOff, EdgeModule
from berth_scoring.edge.report import Reporter
from berth_scoring.edge.topics import Topics
from berth_scoring.edge.workload import Workload
from berth_scoring.messages import Handler
from berth_scoring.metrics import Metrics, RouteMetrics

if TYPE_CHECKING:
    from berth_scoring.serve import Context


def edge_module(
    options: EdgeOptions, context: "Context", handler: Handler, metrics: Metrics, stuck: Callable[[], bool]
) -> EdgeModule:
    """Make the module that IoT Edge's variables tell of; raises StartupError if they do not."""
    identity = ModuleIdentity.from_environment(context.environment)
    counts = Counts()
    metrics.add(EdgeCollector(counts))
    intake = partial(
        Intake,
        Scorer(handler, one_each=context.config.code is not None),
        topics=Topics.of(identity),
        input_name=options.input,
        output_name=options.output,
        counts=counts,
        record=_record(options.input, metrics.route(options.input), context.log),
    )
    served = describe(context.config, fetched_digests(context.layout))
    return EdgeModule(
        identity,
        CredentialStore(identity.resource, Workload(identity), options.token_seconds),
        intake,
        Reporter(
            lambda: served | {"health": "stuck" if stuck() else "ready"}, counts, options.report_seconds
        ),
        counts,
        BackOff(),
    )


def describe(config: ScoringConfig, fetched: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the twin says of model and code; null where there is none, which removes it there."""
    models = fetched.get("models") or []
    code = fetched.get("code") or {}
    one = config.models[0] if len(config.models) == 1 else None
    return {
        "server": __version__,
        "deployment": f"{config.namespace}/{config.name}",
        "model": {
            "name": one and one.name,
            "version": one and one.version,
            "count": len(config.models),
            "digest": _digest_of(models),
        },
        "code": {"digest": code.get("digest")},
    }


def _digest_of(models: list[Mapping[str, str]]) -> str | None:
    """Return the digest of the only model, or one over all: a twin has no room for a thousand."""
    if len(models) <= 1:
        return models[0]["digest"] if models else None
    lines = sorted(f"{each['name']}:{each['version']} {each['digest']}\n" for each in models)
    return f"sha256:{sha256(''.join(lines).encode()).hexdigest()}"


def fetched_digests(layout: Layout) -> dict[str, Any]:
    """Return what fetching has reported, or nothing where it has not."""
    with suppress(OSError):
        document: dict[str, Any] = json.loads(layout.fetched.read_text())
        return document
    return {}


def _record(name: str, series: RouteMetrics, log: AccessLog) -> Record:
    def record(status: int, seconds: float, message_id: str) -> None:
        series.record(status, seconds)
        log.record("MESSAGE", name, status, seconds, message_id)

    return record
