"""From an update to what a machine executes: schedules, their compiler, and what they cost."""

from mep_hw.schedule.compile import compile as compile
from mep_hw.schedule.compile import predict as predict
from mep_hw.schedule.compile import registers as registers
from mep_hw.schedule.cost import Cost as Cost
from mep_hw.schedule.ir import Cell as Cell
from mep_hw.schedule.ir import Cycle as Cycle
from mep_hw.schedule.ir import Outer as Outer
from mep_hw.schedule.ir import Registers as Registers
from mep_hw.schedule.ir import Row as Row
from mep_hw.schedule.ir import Schedule as Schedule
