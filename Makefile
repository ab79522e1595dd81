# make demo    set up, then train a small network and watch its checkpoints become a stream
# make test    set up, then run the tests
# make lint    set up, then ruff and mypy

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
SOURCES := pyproject.toml $(wildcard incnnr/_native/*)

.PHONY: demo test lint clean

demo: $(STAMP)
	@$(VENV)/bin/incnnr demo

test: $(STAMP)
	@$(PYTHON) -m pytest -q

lint: $(STAMP)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

clean:
	rm -rf $(VENV) build .*_cache .hypothesis

$(STAMP): $(SOURCES)
	@echo 'int main() { return __cplusplus < 201703L; }' | $${CXX:-c++} -std=c++17 -x c++ -fsyntax-only - 2>/dev/null \
	    || { echo "incnnr needs a C++17 compiler: apt-get install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora), xcode-select --install (macOS)"; exit 2; }
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@echo "setting up $(VENV) ..."
	@$(PYTHON) -m pip install -q --disable-pip-version-check "pip>=25.1" "scikit-build-core>=1.0" "nanobind>=3.0" cmake ninja
	@$(PYTHON) -m pip install -q --disable-pip-version-check --no-build-isolation -e . --group test --group lint
	@touch $@
