"""One update of one population, and what it sends: the equations of mep_hw's `loihi/network.py`, in both formats.

`kind` is "box", "smooth" or "readout"; arrays are (units,) or (rows, units), the bias and bounds always (units,) or
numbers. Fixed point is 64 bits wide here; that sums fit the 32 bits of Lava's connections is checked before.
"""

import numpy as np


def rounded(value, bits):
    """value / 2^bits to the nearest whole number, halves upward."""
    return value if bits == 0 else (value + (1 << (bits - 1))) >> bits


class Fixed:
    """Whole numbers. `given`: the structure of one population; `parts`: its arrays, which may change between phases."""

    port = np.int32  # Lava's Dense multiplies in the type that it is sent, and must not do so in floating point

    def __init__(self, given, parts):
        self.given, self.parts = given, parts

    def update(self, value, total, beta, target):
        given, parts = self.given, self.parts
        leak = parts["bias"] - value
        if given["kind"] == "readout":
            leak = leak + rounded(beta * (target - value), given["beta_fraction"])
        shift = given["shift"]
        value = value + rounded(total + leak * (1 << shift), shift + given["step_shift"])
        return np.clip(value, *parts["bounds"]) if "bounds" in parts else value

    def sent(self, value):
        given = self.given
        if given["kind"] == "smooth":
            value = self._curve(value)
        value = rounded(value, given["payload_shift"])
        return np.clip(value, -given["payload_limit"], given["payload_limit"] - 1).astype(np.int32)

    def _curve(self, value):
        """The table of rho, linear between its entries."""
        values, bits = self.parts["curve"], self.given["step_bits"]
        half = (len(values) - 1 << bits) // 2
        offset = np.clip(value, -half, half - 1) + half
        index, rest = offset >> bits, offset & ((1 << bits) - 1)
        return values[index] + rounded((values[index + 1] - values[index]) * rest, bits)


class Floating:
    """Double precision, nothing rounded."""

    port = float
    curves = {"tanh": np.tanh, "sigmoid": lambda value: 1 / (1 + np.exp(-value))}

    def __init__(self, given, parts):
        self.given, self.parts = given, parts

    def update(self, value, total, beta, target):
        leak = self.parts["bias"] - value
        if self.given["kind"] == "readout":
            leak = leak + beta * (target - value)
        value = value + self.given["dt"] * (total + leak)
        return np.clip(value, *self.parts["bounds"]) if "bounds" in self.parts else value

    def sent(self, value):
        return self.curves[self.given["curve"]](value) if self.given["kind"] == "smooth" else value
