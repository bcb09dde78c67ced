"""FPGAs: one fixed-point specification, and four executables of it that agree bit for bit."""
