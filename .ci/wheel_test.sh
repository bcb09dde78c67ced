#!/usr/bin/env bash
# Do the built packages work without the checkout? Builds the sdist and from it the wheel, installs the wheel in an empty
# environment, and looks for the cards from an empty folder; then the same for the editable install.
# Usage: wheel_test.sh PYTHON, where PYTHON has the `dev` extra (build, hatchling).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$(command -v "${1:?usage: wheel_test.sh PYTHON}")
case $python in /*) ;; *) python=$PWD/$python ;; esac
checkout=$PWD

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/empty"

# What the checkout has is what an install must show.
expected=$("$python" - <<'EOF'
from pathlib import Path
print(*(str(sorted(card.parent.name for card in Path(kind).glob("*/card.yaml"))) for kind in ("backends", "devices")))
EOF
)

check() { # check LABEL INSIDE: do command and module see the cards, and does the package lie where INSIDE says?
  cd "$work/empty"
  local shown
  shown=$("$work/venv/bin/python" - "$2" <<'EOF'
import sys
from pathlib import Path

import mep_hw.cards as cards
from mep_hw.loihi.limits import load_chip

assert Path(cards.__file__).is_relative_to(Path(sys.argv[1]).resolve()), f"imported from {cards.__file__}"
for name in ("loihi1", "loihi2"):
    load_chip(name)
for name in cards.backend_names():
    cards.load_backend(name)
for name in cards.device_names():
    cards.load_device(name)
print(cards.backend_names(), cards.device_names())
EOF
)
  if [ "$shown" != "$expected" ]; then
    echo "wheel test: $1 shows the cards $shown, the checkout has $expected" >&2
    exit 1
  fi
  "$work/venv/bin/mep-hw" backends >"$work/backends.txt"
  local name
  for name in $("$work/venv/bin/python" -c 'import mep_hw.cards as c; print(*c.backend_names())'); do
    grep -q "$name" "$work/backends.txt" || { echo "wheel test: $1: mep-hw backends does not list $name" >&2; exit 1; }
  done
  for kind in hls rtl; do
    "$work/venv/bin/mep-hw" export "$kind" 8-4-3 --data random --samples 20 --out "$work/$kind" --json >"$work/export.txt"
    "$work/venv/bin/mep-hw" fpga verify "$work/$kind" --json >"$work/verify.txt" || { cat "$work/verify.txt" >&2; exit 1; }
    rm -r "${work:?}/$kind"
  done
  cd "$checkout"
  echo "wheel test: $1 ok: $shown"
}

"$python" -m build --no-isolation --outdir "$work/dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
"$python" -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }

pip install -c constraints.txt "$work"/dist/*.whl
check "wheel" "$work/venv"

# The same environment once more, so that torch is not installed twice.
pip uninstall -y mep-hw
pip install --no-deps -c constraints.txt -e .
check "editable install" "$checkout"
