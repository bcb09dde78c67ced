"""The weights of a coupling in arrays of memory cells: products through them, writing into them, and what that takes.

Reading, from the whole to its parts: `bank` holds a coupling in cells, `tiled` spreads it over arrays, a `tile` is one
array or pair with its `converters`, behind `wires` and `noise`; `mapping` goes between weights and conductances,
`scale` between the model's weights and those of a cell. `lowered` makes products of convolutions.

Writing: a bank's `drivers` fire lines, `driven` counts what lines and cells see of it, and `mep_hw.cells` answer;
`verify` pulses and reads until weights are right, `write_path` tells what of a voltage arrives.

Cost: `electrics` are the numbers, `spent` counts with them what was done, `product` estimates a read.

Kinds: `banks` makes what a card asks for, each a `holder`: one bank, `sliced` ones, or a fast one that counts from its
`symmetric` points beside a slow one (`transfer`). `layout` says which lines lie where; `supported` and `check` refuse.

Digital states and drives are at both ends. Not valid for cells whose current is not linear in the voltage.
"""
