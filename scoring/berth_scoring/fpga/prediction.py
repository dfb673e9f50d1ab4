"""What TensorFlow Serving's `Predict` and `GetModelMetadata` answer, with its statuses and words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from grpc import StatusCode

from berth_scoring.fpga.errors import Rejected, invalid
from berth_scoring.fpga.images import check_array, check_batch
from berth_scoring.fpga.pipeline import Images, Pipeline
from berth_scoring.fpga.tensors import (
    DTYPES,
    dtype_name,
    floats_of,
    shape_of,
    shape_proto,
    strings_of,
    tensor_of,
)
from berth_scoring.fpga.wire import prediction_service_pb2 as serving
from berth_scoring.fpga.wire import tensor_pb2 as wire

SIGNATURE = "serving_default"
ARRAYS = "serving_arrays"
"""The same pipeline without its first stage: images that the client has prepared."""
PREDICT_METHOD = "tensorflow/serving/predict"
SIGNATURE_DEF = "signature_def"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The names that clients may call the model by; a client that calls it by none is served, too."""

    names: tuple[str, ...]
    version: int

    def check(self, spec: serving.ModelSpec) -> None:
        """Reject another model or version, as TensorFlow Serving does."""
        name = spec.name or self.names[0]
        if spec.version_label:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        version = spec.version.value if spec.HasField("version") else 0
        if name not in self.names or version not in {0, self.version}:
            request = f"Specific({name}, {version})" if version else f"Latest({name})"
            told = (
                f"Servable not found for request: {request}; here is {self.names[0]}, version {self.version}"
            )
            raise Rejected(StatusCode.NOT_FOUND, told)

    def spec(self, given: serving.ModelSpec) -> serving.ModelSpec:
        """Return what an answer says of the model."""
        spec = serving.ModelSpec(name=given.name or self.names[0], signature_name=SIGNATURE)
        spec.version.value = self.version
        return spec


class Prediction:
    """Answers the calls of the prediction service; may be called from any thread."""

    def __init__(self, model: ServedModel, pipeline: Pipeline, alias: str, max_batch: int) -> None:
        self._alias = alias
        self._model = model
        self._pipeline = pipeline
        self._max_batch = max_batch
        self._inputs = (alias, *pipeline.featurizer.inputs)

    def predict(
        self, request: serving.PredictRequest, is_wanted: Callable[[], bool]
    ) -> serving.PredictResponse:
        """Answer `Predict`."""
        self._model.check(request.model_spec)
        _check_signature(request.model_spec.signature_name)
        name, tensor = self._input(request.inputs)
        names = self._outputs(name, request.output_filter)
        outputs = self._pipeline.run(self.images(name, tensor), is_wanted)
        return serving.PredictResponse(
            model_spec=self._model.spec(request.model_spec),
            outputs={shown: tensor_of(outputs[own]) for shown, own in names.items()},
        )

    def images(self, name: str, tensor: wire.TensorProto) -> Images:
        """Turn the tensor into what the featurizer takes."""
        shape = shape_of(tensor, name)
        if tensor.dtype == wire.DT_FLOAT:
            check_array(shape, self._pipeline.featurizer, name)
            check_batch(shape[0], self._max_batch, name)
            return self._pipeline.arrange(floats_of(tensor, name, shape))
        if tensor.dtype != wire.DT_STRING:
            expected = "DT_STRING with JPEGs or DT_FLOAT"
            raise invalid(f"tensor {name!r}: expected {expected}, found {dtype_name(tensor.dtype)}")
        if len(shape) > 1:
            raise invalid(f"tensor {name!r}: expected shape [-1], one JPEG per image, found {shape}")
        images = strings_of(tensor, name)
        check_batch(len(images), self._max_batch, name)
        return self._pipeline.decode(images, name)

    def metadata(
        self, request: serving.GetModelMetadataRequest, _is_wanted: Callable[[], bool]
    ) -> serving.GetModelMetadataResponse:
        """Answer `GetModelMetadata`."""
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        self._model.check(request.model_spec)
        response = serving.GetModelMetadataResponse(model_spec=self._model.spec(request.model_spec))
        response.model_spec.signature_name = ""
        response.metadata[SIGNATURE_DEF].Pack(self._signatures())
        return response

    def _input(self, inputs: Mapping[str, wire.TensorProto]) -> tuple[str, wire.TensorProto]:
        known = ",".join(self._inputs)
        for name in inputs:
            if name not in self._inputs:
                told = f"input tensor alias not found in signature: {name}."
                raise invalid(f"{told} Inputs expected to be in the set {{{known}}}.")
        if len(inputs) != 1:
            raise invalid(
                f"input size does not match signature: {len(inputs)}!=1; the tensor {self._alias!r} is needed"
            )
        return next(iter(inputs.items()))

    def _outputs(self, input_name: str, wanted: Sequence[str]) -> Mapping[str, str]:
        """Return the outputs to be sent by the names to send them under."""
        signature = self._pipeline.signature
        own = [spec.name for spec in signature.specs]
        if not wanted:
            shown = signature.aliases if input_name == self._alias else signature.graph
            return dict(zip(shown, own, strict=True))
        known = dict(zip((*own, *signature.graph, *signature.aliases), own * 3, strict=True))
        chosen: dict[str, str] = {}
        for name in wanted:
            if name not in known:
                listed = ",".join(dict.fromkeys((*signature.aliases, *signature.graph)))
                told = f"output tensor alias not found in signature: {name}"
                raise invalid(f"{told} Outputs expected to be in the set {{{listed}}}.")
            if name in chosen:
                raise invalid(f"duplicate output tensor alias: {name}")
            chosen[name] = known[name]
        return chosen

    def _signatures(self) -> serving.SignatureDefMap:
        signature = self._pipeline.signature
        outputs = {
            alias: wire.TensorInfo(
                name=name, dtype=DTYPES[spec.dtype], tensor_shape=shape_proto(_batch_first(spec.shape))
            )
            for alias, name, spec in zip(signature.aliases, signature.graph, signature.specs, strict=True)
        }
        jpegs = self._info(wire.DT_STRING, [-1])
        arrays = self._info(wire.DT_FLOAT, [-1, *self._pipeline.featurizer.image])
        return serving.SignatureDefMap(
            signature_def={
                name: wire.SignatureDef(
                    inputs={self._alias: tensor}, outputs=outputs, method_name=PREDICT_METHOD
                )
                for name, tensor in ((SIGNATURE, jpegs), (ARRAYS, arrays))
            }
        )

    def _info(self, dtype: wire.DataType, shape: Iterable[int]) -> wire.TensorInfo:
        return wire.TensorInfo(name=self._inputs[-1], dtype=dtype, tensor_shape=shape_proto(shape))


def _batch_first(shape: Sequence[int | None]) -> list[int]:
    """Return a shape for clients: they may send any batch, also where the graph takes one image at a time."""
    return [-1, *(-1 if length is None else length for length in shape[1:])]


def _check_signature(name: str) -> None:
    if name not in {"", SIGNATURE, ARRAYS}:
        raise Rejected(StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
