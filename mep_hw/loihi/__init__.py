"""Loihi as far as it can be had without the chip: its integer arithmetic, Lava's simulation of it, and its limits."""
