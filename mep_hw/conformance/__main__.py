"""`python -m mep_hw.conformance` is `mep-hw conformance`."""

from __future__ import annotations

import sys

from mep_hw.cli import main

if __name__ == "__main__":
    main(["conformance", *sys.argv[1:]])
