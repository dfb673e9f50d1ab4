def init():
    pass


def run(raw_data):
    return {"type": type(raw_data).__name__, "length": len(raw_data), "start": raw_data[:60]}
