"""`python -m mep_hw` is `mep-hw`."""

from mep_hw.cli import main

main()
