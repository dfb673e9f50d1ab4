from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    pass


@rawhttp
def run(request):
    if request.path.endswith("fail") or request.args.get("fail"):
        raise ValueError("fail")
    if request.method == "OPTIONS":
        return AMLResponse("", 200, {"Allow": "GET"})
    body = request.get_data(cache=True)
    seen = {
        "method": request.method,
        "path": request.path,
        "full_path": request.full_path,
        "args": request.args.to_dict(flat=False),
        "form": request.form.to_dict(flat=False),
        "files": {name: file.read().decode() for name, file in request.files.items()},
        "length": len(body),
        "content_length": request.content_length,
        "content_type": request.content_type,
        "mimetype": request.mimetype,
        "is_json": request.is_json,
        "json": request.get_json(silent=True),
        "header": request.headers.get("x-mixed-case"),
        "cookies": dict(request.cookies),
        "accept": str(request.accept_mimetypes),
        "query": request.query_string.decode(),
        "scheme": request.scheme,
    }
    return AMLResponse(seen, 200, json_str=True)
