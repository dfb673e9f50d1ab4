"""The V1 protocol, `:predict`, as TensorFlow Serving and KServe speak it."""

from typing import Any

from numpy.typing import NDArray

from berth_scoring.formats.base import Tensors
from berth_scoring.formats.service import Inputs, ModelService
from berth_scoring.formats.tensors import array_of, check_shape
from berth_scoring.messages import Refusal, Request, Response
from berth_scoring.protocols.encoding import decode_object, encode


class V1:
    """The routes of one model."""

    def __init__(self, service: ModelService) -> None:
        self._service = service
        self._inputs = service.model.inputs
        self._outputs = service.model.primary

    async def predict(self, request: Request) -> Response:
        """Answer `POST /v1/models/<name>:predict`."""
        body = decode_object(request.body)
        inputs = self.parse(body.get("instances"), "instances")
        outputs = await self._service.predict(request, inputs, self._outputs)
        return encode({"predictions": rows_of(outputs)})

    async def status(self, _request: Request) -> Response:
        """Answer `GET /v1/models/<name>`."""
        return encode({"name": self._service.name, "ready": True})

    def parse(self, instances: object, field: str) -> Inputs:
        """Read rows: bare values for a model of one input, objects by input name for one of several."""
        if not isinstance(instances, list):
            raise Refusal(
                400,
                f"{field} is missing: send an array of rows"
                if instances is None
                else f"{field}: not an array",
            )
        if len(self._inputs) == 1:
            return {self._inputs[0].name: self._tensor(instances, 0, field)}
        columns = [_column(instances, spec.name, field) for spec in self._inputs]
        return {
            spec.name: self._tensor(columns[i], i, f"{field}[*].{spec.name}")
            for i, spec in enumerate(self._inputs)
        }

    def _tensor(self, values: list[Any], index: int, field: str) -> NDArray[Any]:
        spec = self._inputs[index]
        if not spec.shape:
            raise Refusal(400, f"{field}: input {spec.name!r} is a scalar, not one per row: use V2")
        array = array_of(values, spec.dtype, field)
        check_shape(array, spec, field)
        return array


def rows_of(outputs: Tensors) -> object:
    """Return bare values for a single output, else one object per row."""
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    lengths = {array.shape[:1] for array in outputs.values()}
    if len(lengths) > 1 or () in lengths:
        raise Refusal(400, f"The outputs {', '.join(outputs)} differ in their number of rows: use V2")
    columns = [array.tolist() for array in outputs.values()]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(instances: list[Any], name: str, field: str) -> list[Any]:
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict) or name not in instance:
            raise Refusal(400, f"{field}[{index}] must be an object with the input {name!r}")
    return [instance[name] for instance in instances]
