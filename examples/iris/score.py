"""The scoring script of Azure ML: `init` once, `run` for each request."""

import json
import os
from pathlib import Path

import joblib


def init():
    global model
    model = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "model.joblib")


def run(data):
    rows = json.loads(data)["data"]
    return model.predict(rows).tolist()
