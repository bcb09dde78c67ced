"""A model on several FPGAs: which layers each computes, how they keep in step, and what may be said without a clock."""
