"""Memory cells: arrays of them answer pulses, drift and wear as their device card says.

`cells` is the array. `traits` draws what one cell has and its neighbour has not, `respond` chooses the answer to a
pulse by the card: `affine`, `curved` or `table`, all by the contract in `pulses`; `many` applies pulses in any number.
`clock` keeps time by the `laws` of programming, noise and drift; `disturbed` is what half a voltage does. `staircase`
pulses cells up and down for a picture of them.

Not valid for cells that influence each other.
"""

from mep_hw.cells.cells import Cells as Cells
