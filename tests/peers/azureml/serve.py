"""Start the peer as its own command does, but on loopback only: serve.py SCRIPT PORT."""

import os
import sys

from azureml_inference_server_http import __version__, amlserver_linux
from azureml_inference_server_http.constants import PACKAGE_ROOT
from azureml_inference_server_http.log_config import load_logging_config

script, port = sys.argv[1:]
os.environ["AZUREML_ENTRY_SCRIPT"] = script
os.environ["HTTP_X_MS_SERVER_VERSION"] = f"azmlinfsrv/{__version__}"
load_logging_config(PACKAGE_ROOT)
amlserver_linux.run("127.0.0.1", int(port), 1)
