def init():
    pass


def run(data, request_headers):
    wanted = (
        "X-Mixed-Case",
        "Content-Type",
        "X-Request-Id",
        "X-Twice",
        "Host",
        "Content-Length",
        "Authorization",
    )
    return {
        "class": type(request_headers).__name__,
        "data": data,
        "seen": {k: request_headers.get(k) for k in wanted},
    }
