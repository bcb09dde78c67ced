"""brian2 without its files and without its hold on the process.

On import brian2 opens a log of debug messages and copies the running script, both in the temporary folder, leads all
warnings of the process into its own log, and reports every uncaught error as its own. Nothing else of it is changed:
its preferences are the user's, and code for our own groups runs in numpy by `TARGET`.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from brian2 import BrianLogger
from brian2.codegen.runtime.numpy_rt import NumpyCodeObject
from brian2.utils.logger import brian_excepthook

TARGET = NumpyCodeObject  # what groups generate code for: compiling takes longer than small models settle


def release() -> None:
    """Close and remove the files that brian2 opened; give warnings and uncaught errors back to Python."""
    logging.captureWarnings(False)
    if sys.excepthook is brian_excepthook:
        sys.excepthook = sys.__excepthook__
    handler = BrianLogger.file_handler
    if handler is not None:
        logging.getLogger("brian2").removeHandler(handler)
        handler.close()
    for name in (BrianLogger.tmp_log, BrianLogger.tmp_script):
        if name is not None:
            Path(name).unlink(missing_ok=True)
    BrianLogger.file_handler = BrianLogger.tmp_log = BrianLogger.tmp_script = None
