"""SystemVerilog of a node: its generator, and the simulation of one node or a cluster with Verilator."""
