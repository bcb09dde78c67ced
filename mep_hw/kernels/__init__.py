"""Triton kernels and what starts them. Importing this package needs triton; `mep_hw.substrates.gpu` says so kindly."""
