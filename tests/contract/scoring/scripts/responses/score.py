from azureml_inference_server_http.api.aml_response import AMLResponse

RESPONSES = {
    "text": lambda: AMLResponse("created", 201),
    "bytes": lambda: AMLResponse(b"\x89PNG", 200, {"Content-Type": "image/png"}),
    "json": lambda: AMLResponse({"a": [1]}, 200, json_str=True),
    "json text": lambda: AMLResponse('{"a": 1}', 200, {"Content-Type": "application/json"}),
    "none": lambda: AMLResponse(None, 202),
    "no content": lambda: AMLResponse("", 204),
    "bad request": lambda: AMLResponse({"message": "no"}, 400, json_str=True),
    "server error": lambda: AMLResponse("broken", 500),
    "unavailable": lambda: AMLResponse("later", 503, {"Retry-After": "3"}),
    "failed": lambda: AMLResponse("x", 200, run_function_failed=True),
    "repeated": lambda: AMLResponse("x", 200, {"X-Many": "a, b,c", "X-One": "1"}),
    "own id": lambda: AMLResponse("x", 200, {"x-request-id": "mine"}),
    "no content but text": lambda: AMLResponse("text", 204),
    "chunked": lambda: AMLResponse("text", 200, {"Transfer-Encoding": "chunked"}),
    "closing": lambda: AMLResponse("text", 200, {"Connection": "close"}),
    "teapot": lambda: AMLResponse("x", 418),
}


def init():
    pass


def run(raw_data):
    return RESPONSES[raw_data]()
