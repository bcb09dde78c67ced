"""EP for any torch module: the layerwise energy E(s; x) = sum_l |s_l - f_l(s_{l-1})|^2 / 2.

This is the energy of predictive coding (Whittington and Bogacz 2017, doi 10.1162/NECO_a_00949), not the Hopfield energy
of `mep_hw.Model`. Its free state is the forward pass, with E = 0, so only nudged phases settle. The feedback through a
block is a product with its transposed Jacobian, which no array settles by itself: this energy is digital only.
"""

from mep_hw.layerwise.blocks import Block as Block
from mep_hw.layerwise.energy import Contrast as Contrast
from mep_hw.layerwise.energy import Layerwise as Layerwise
from mep_hw.layerwise.settle import Nudged as Nudged
