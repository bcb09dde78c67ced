"""What machines execute and what it costs: schedules, the cycles in them, trains of pulses. The compiler makes them."""

from mep_hw.schedule.cost import Cost as Cost
from mep_hw.schedule.ir import Cell as Cell
from mep_hw.schedule.ir import Cycle as Cycle
from mep_hw.schedule.ir import Hold as Hold
from mep_hw.schedule.ir import Outer as Outer
from mep_hw.schedule.ir import Read as Read
from mep_hw.schedule.ir import Refresh as Refresh
from mep_hw.schedule.ir import Registers as Registers
from mep_hw.schedule.ir import Row as Row
from mep_hw.schedule.ir import Schedule as Schedule
from mep_hw.schedule.ir import Transfer as Transfer
