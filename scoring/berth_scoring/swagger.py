"""The description of a service: the user's own file, else one made from the script's schema."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

from berth_scoring.azureml import NOT_FAILED
from berth_scoring.messages import Refusal, Request, Response, json_response

Document = dict[str, Any]
Content = Callable[[Document, str], Document]
"""How a version of Swagger says what a body holds."""

JSON = "application/json"
VERSION_PARAMETER = {"name": "version", "in": "query", "required": False}

ALIASES = {"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}
USER_FILES = {"2": ("swagger.json", "swagger2.json"), "3": ("swagger3.json",), "3.1": ("swagger3.1.json",)}


class DocumentError(ValueError):
    """A description that the user wrote cannot be read."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a description says of the service itself."""

    name: str = "ML service"
    version: str = "1.0"
    prefix: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables that Azure ML sets."""
        prefix = environment.get("SERVICE_PATH_PREFIX", "").strip("/")
        return cls(
            environment.get("SERVICE_NAME", "ML service"),
            environment.get("SERVICE_VERSION", "1.0"),
            f"/{prefix}" if prefix else "",
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """The shapes of input and output, and the versions of Swagger that can express them."""

    input: Document
    output: Document
    versions: tuple[str, ...] = ("2", "3", "3.1")


UNDECLARED = Schema({"type": "object", "example": {}}, {"type": "object", "example": {}})


class Swagger:
    """Answers `/swagger.json`."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._documents = documents

    async def answer(self, request: Request) -> Response:
        """Return the version asked for, 2 unless one is."""
        asked = parse_qs(request.query.decode("latin-1"), keep_blank_values=True).get("version", ["2"])[0]
        supported = ", ".join(sorted(self._documents))
        if asked not in ALIASES:
            raise Refusal(404, f"Swagger version [{asked}] is not valid. Supported versions: [{supported}].")
        document = self._documents.get(ALIASES[asked])
        if document is None:
            text = f"Swagger version [{asked}] is not supported for the scoring script."
            raise Refusal(404, f"{text} Supported swagger versions: [{supported}].")
        response = json_response(document)
        response.headers.append(NOT_FAILED)
        return response


def documents(service: Service, schema: Schema, folder: Path | None) -> dict[str, Document]:
    """Return the description in every version there is: from a file of the user's if one is in `folder`."""
    found: dict[str, Document] = {}
    for version, build in BUILDERS.items():
        own = _user_document(folder, USER_FILES[version])
        if own is not None:
            found[version] = own
        elif version in schema.versions:
            found[version] = build(service, schema)
    return found


def script_schema(run: Callable[..., Any]) -> Schema:
    """Return what the decorators of inference-schema say of `run`."""
    from inference_schema import schema_util  # noqa: PLC0415 - the user's package

    known = schema_util.get_supported_versions(run)
    versions = {ALIASES[version] for version in known if version in ALIASES}
    return Schema(
        schema_util.get_input_schema(run), schema_util.get_output_schema(run), tuple(sorted(versions))
    )


def _user_document(folder: Path | None, names: tuple[str, ...]) -> Document | None:
    for name in names:
        path = folder / name if folder else None
        if path is not None and path.is_file():
            return _read_document(path)
    return None


def _read_document(path: Path) -> Document:
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DocumentError(f"{path.name} is not JSON: {error}") from error
    return document


def _swagger2(service: Service, schema: Schema) -> Document:
    payload = {"name": "serviceInputPayload", "in": "body", "schema": {"$ref": "#/definitions/ServiceInput"}}
    version = VERSION_PARAMETER | {"type": "integer", "enum": [2, 3]}
    return {
        "swagger": "2.0",
        "info": _info(service),
        "schemes": ["https", "http"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        "paths": _paths(service.prefix, "#/definitions/", _content2, {"parameters": [payload]}, version),
        "definitions": _schemas(schema),
    }


def _swagger3(service: Service, schema: Schema) -> Document:
    reference = "#/components/schemas/"
    payload = _content3({"$ref": f"{reference}ServiceInput"}, JSON)
    version = VERSION_PARAMETER | {"schema": {"type": "integer", "enum": [2, 3]}}
    return {
        "openapi": "3.0.3",
        "info": _info(service),
        "security": [{"Bearer": []}],
        "paths": _paths(service.prefix, reference, _content3, {"requestBody": payload}, version),
        "components": {
            "schemas": _schemas(schema),
            "securitySchemes": {"Bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _swagger31(service: Service, schema: Schema) -> Document:
    return _swagger3(service, schema) | {"openapi": "3.1.0"}


BUILDERS = {"2": _swagger2, "3": _swagger3, "3.1": _swagger31}


def _info(service: Service) -> Document:
    text = f"API specification for the Azure Machine Learning service {service.name}"
    return {"title": service.name, "description": text, "version": service.version}


def _paths(prefix: str, reference: str, content: Content, payload: Document, version: Document) -> Document:
    failure = {"description": "The request failed; the message says why."}
    failure |= content({"$ref": f"{reference}ErrorResponse"}, JSON)

    def operation(name: str, success: str, schema: Document, mimetype: str) -> Document:
        answer = {"description": success} | content(schema, mimetype)
        return {"operationId": name, "responses": {"200": answer, "default": failure}}

    health = operation("ServiceHealthCheck", "Healthy", {"type": "string"}, "text/plain")
    score = operation("RunMLService", "The prediction", {"$ref": f"{reference}ServiceOutput"}, JSON)
    spec = operation("GetSwaggerSpec", "This description", {"type": "object"}, JSON)
    return {
        f"{prefix}/": {"get": health | {"security": []}},
        f"{prefix}/score": {"post": score | payload | {"security": [{"Bearer": []}]}},
        f"{prefix}/swagger.json": {"get": spec | {"parameters": [version]}},
    }


def _content2(schema: Document, _mimetype: str) -> Document:
    return {"schema": schema}


def _content3(schema: Document, mimetype: str) -> Document:
    return {"content": {mimetype: {"schema": schema}}}


def _schemas(schema: Schema) -> Document:
    message = {"type": "object", "properties": {"message": {"type": "string"}}}
    return {"ServiceInput": schema.input, "ServiceOutput": schema.output, "ErrorResponse": message}
