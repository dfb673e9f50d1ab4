"""Puts the parts of a pipeline together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from berth_scoring.auth import KeyRing
from berth_scoring.config import Layout, ModelSource, RequestLimits, ScoringConfig, read_number
from berth_scoring.fpga.calls import CALLS_AT_ONCE, GrpcPort, Uploads
from berth_scoring.fpga.device import Device, device_files
from berth_scoring.fpga.featurizers import FEATURIZERS
from berth_scoring.fpga.gate import Gate
from berth_scoring.fpga.images import ImageDecoder, ImageLimits
from berth_scoring.fpga.measures import Measures
from berth_scoring.fpga.options import PipelineOptions
from berth_scoring.fpga.pipeline import Pipeline
from berth_scoring.fpga.prediction import Prediction, ServedModel
from berth_scoring.fpga.score import Score
from berth_scoring.fpga.stages import ClassifierStage, FeaturizerStage, Graph, Provider, load_graph
from berth_scoring.fpga.workers import Workers
from berth_scoring.startup import StartupError, loading
from berth_scoring.tls import certificate_pair

if TYPE_CHECKING:
    from berth_scoring.metrics import Metrics

PROVIDER, DEVICES = "BERTH_EXECUTION_PROVIDER", "BERTH_DEVICES"
"""What a vendor's image says of its device: who runs graphs on it, and patterns of its files."""
THREADS = CALLS_AT_ONCE + 16
"""One for each call, so that none waits for a message that does not come, and some for HTTP."""
WATCH_SECONDS = 0.1
"""How often deadlines and the device are looked after."""
TEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class PipelineService:
    """A loaded pipeline with its port."""

    score: Score
    pipeline: Pipeline
    port: GrpcPort
    device: Device
    gate: Gate
    uploads: Uploads
    workers: Workers

    @property
    def failure(self) -> str | None:
        """What is wrong with the device, so that only a restart helps; none while it answers."""
        if self.gate.stuck:
            return "a run on the device has not returned long after its deadline"
        return self.device.failure

    @asynccontextmanager
    async def running(self, draining: Callable[[], bool], grace: float) -> AsyncIterator[None]:
        """Answer calls, and watch the device, for as long as HTTP is served."""
        self.port.tell_health(healthy=True)
        self.port.start()
        watch = asyncio.gather(self._watch_calls(), self._watch_device(draining))
        try:
            yield
        finally:
            # What takes too long is ended meanwhile.
            await asyncio.to_thread(self.port.stop, grace)
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch_calls(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.uploads.end_overdue()
            self.gate.end_overdue()
            self.workers.relieve()

    async def _watch_device(self, draining: Callable[[], bool]) -> None:
        told = True
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self.device.check(self.pipeline.test)
            healthy = self.failure is None and not draining()
            if healthy != told:
                self.port.tell_health(healthy=healthy)
                told = healthy


class Assembly:
    """Loads what the configuration names; every failure says which part it is about."""

    def __init__(
        self,
        config: ScoringConfig,
        options: PipelineOptions,
        layout: Layout,
        metrics: "Metrics",
        environment: Mapping[str, str],
    ) -> None:
        if options.featurizer not in FEATURIZERS:
            known = ", ".join(FEATURIZERS)
            raise StartupError("ConfigInvalid", f"there is no featurizer {options.featurizer!r}, but {known}")
        self._featurizer = FEATURIZERS[options.featurizer]
        self._config = config
        self._options = options
        self._layout = layout
        self._measures = Measures(metrics.registry)
        name = options.provider or environment.get(PROVIDER, "CPUExecutionProvider")
        threads = read_number(environment, "BERTH_THREADS", 1, least=1)
        self._provider = Provider(name, options.provider_options, threads)
        self._devices = options.devices or tuple(environment.get(DEVICES, "").split())

    def load(self, limits: RequestLimits, keys: KeyRing | None) -> PipelineService:
        """Open the device, load both stages, send a blank image through them, and take the port."""
        options = self._options
        files = device_files(self._devices)
        stage, classifier = self._stages()
        gate = Gate(limits)
        device = Device(files, TEST_SECONDS)
        pipeline = Pipeline(
            stage,
            classifier,
            options.output_tensor,
            decoder=ImageDecoder(
                self._featurizer, ImageLimits(options.max_image_bytes, options.max_image_pixels), limits
            ),
            gate=gate,
            measures=self._measures,
            device=device,
        )
        with loading("DeviceUnavailable"):
            pipeline.test()
        self._measures.watch_device(self._provider.device, lambda: device.failure is None)
        about = [
            ("berth-device", self._provider.device),
            ("berth-execution-provider", self._provider.name),
            ("berth-featurizer", self._featurizer.name),
        ]
        workers = Workers(THREADS)
        prediction = Prediction(self._served(), pipeline, options.input_tensor, options.max_batch)
        timeout = limits.timeout_milliseconds / 1000
        uploads = Uploads(timeout)
        port = GrpcPort(prediction, self._measures, workers, uploads, about=about, keys=keys)
        port.bind(options.port, certificate_pair(self._config.tls))
        headers = [(f"x-{name}".encode(), value.encode()) for name, value in about]
        score = Score(pipeline, workers, options.max_batch, timeout, headers)
        return PipelineService(score, pipeline, port, device, gate, uploads, workers)

    def _stages(self) -> tuple[FeaturizerStage, ClassifierStage | None]:
        with loading("ModelLoadFailed"):
            stage = FeaturizerStage.of(self._featurizer, self._graph(self._options.weights))
            if self._options.classifier is None:
                return stage, None
            graph = self._graph(self._options.classifier)
        with loading("DeviceUnavailable"):
            features = stage.run(stage.blank)
        seen = replace(stage.graph.outputs[0], shape=features[stage.graph.outputs[0].name].shape)
        with loading("ClassifierMismatch"):
            return stage, ClassifierStage.of(graph, stage, seen)

    def _graph(self, name: str) -> Graph:
        return load_graph(self._layout.model(self._model(name)), self._provider)

    def _model(self, name: str) -> ModelSource:
        return next(model for model in self._config.models if model.name == name)

    def _served(self) -> ServedModel:
        model = self._model(self._options.classifier or self._options.weights)
        names = tuple(dict.fromkeys((self._config.name, model.name)))
        return ServedModel(names, int(model.version) if model.version.isdecimal() else 1)
