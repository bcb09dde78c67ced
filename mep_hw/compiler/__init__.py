"""From an update to a schedule for one machine, and what it will cost."""

from mep_hw.compiler.budget import Budget as Budget
from mep_hw.compiler.compile import compile as compile
from mep_hw.compiler.compile import registers as registers
from mep_hw.compiler.predict import predict as predict
