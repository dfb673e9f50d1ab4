# The verbs of this project. `make demo` and `make test` install what they need.

CACHE   := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/berth
UV_PIN  := 0.13.9
UV_HOME := $(CACHE)/uv-$(UV_PIN)
UV      := $(UV_HOME)/bin/uv
RUN     := $(UV) run --frozen
STAGE   := $(RUN) berth-sandbox stage

# Everything runs on the system's Python or a newer one that is here; none is downloaded.
export UV_PYTHON_DOWNLOADS := never
export PATH := $(UV_HOME)/bin:$(PATH)

.PHONY: help demo demo-down test check unit contract apiserver chart e2e perf crds wire clean sync

help:
	@echo 'make demo        a cluster, Berth, the examples, an answer from each'
	@echo 'make demo-down   remove every trace of the demo'
	@echo 'make test        every check and test, in order'
	@echo 'make check | unit | contract | apiserver | chart | e2e | perf    one stage of it'
	@echo 'make crds        write the generated files anew'
	@echo 'make clean       remove the demo and the caches'

demo: sync
	@$(RUN) berth-sandbox demo

demo-down: sync
	@$(RUN) berth-sandbox demo-down

test: sync
	@$(STAGE) check unit contract apiserver chart e2e perf

check unit contract apiserver chart e2e perf: sync
	@$(STAGE) $@

crds: sync
	@$(RUN) python -m berth.schema crds charts/berth/files/crds --reference docs/reference

wire: sync
	@for part in scoring sandbox; do (cd $$part && \
	    $(RUN) python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. berth_$$part/fpga/wire/*.proto) || exit 1; done

# The clusters of other checkouts live on: without their folders they could not be taken down.
clean: demo-down
	rm -rf .venv
	find $(CACHE) -mindepth 1 -maxdepth 1 ! -name 'clusters*' -exec rm -rf {} +

sync: $(UV)
	@[ -w . ] || { echo 'This folder is not yours to write: run make as its owner, or with sudo.'; exit 1; }
	@.ci/step 'installing the Python packages' $(UV) sync --frozen --quiet || \
	    { echo 'The Python packages could not be installed: check the network and try again.'; exit 1; }

$(UV):
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or newer is needed: install it as python3.'; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || \
	    .ci/step 'installing the Debian package python3-venv' .ci/install-venv
	@python3 -m venv $(UV_HOME)
	@.ci/step 'installing uv $(UV_PIN) from PyPI' \
	    $(UV_HOME)/bin/pip install -qq --disable-pip-version-check uv==$(UV_PIN) || \
	    { echo 'uv could not be installed from PyPI: check the network and try again.'; exit 1; }
