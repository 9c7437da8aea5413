#!/usr/bin/env bash
# Creates .venv from uv.lock. Requires Python 3.11 to 3.13 only.
# PYTHON selects an interpreter; PIP_INDEX_URL, UV_DEFAULT_INDEX or pip.conf select a mirror.
set -euo pipefail
cd "$(dirname "$0")/.."

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if fits "$name"; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo "sonogate: no Python 3.11, 3.12 or 3.13 found; set PYTHON=/path/to/python" >&2
    return 1
}

python=$(find_python)
if [ ! -x .tools/bin/uv ]; then
    echo "creating .tools with uv" >&2
    "$python" -m venv .tools
    .tools/bin/python -m pip install --quiet "uv>=0.9"
fi

export UV_PYTHON=$python UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.venv
mirror=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-$(.tools/bin/python -m pip config get global.index-url 2>/dev/null || true)}}
mirror=${PIP_INDEX_URL:-$mirror}
echo "creating .venv with $("$python" --version)" >&2
if [ -z "$mirror" ]; then
    .tools/bin/uv sync --quiet --frozen --all-extras
else
    # uv.lock refers to pypi.org; install the same versions and digests from the mirror.
    .tools/bin/uv venv --quiet --allow-existing .venv
    .tools/bin/uv export --quiet --frozen --all-extras --no-emit-project --output-file .tools/locked.txt
    .tools/bin/uv pip sync --quiet --python .venv --require-hashes --default-index "$mirror" .tools/locked.txt
    .tools/bin/uv pip install --quiet --python .venv --no-deps --default-index "$mirror" --editable .
fi
