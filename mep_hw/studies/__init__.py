"""Studies: scripts that produce the tables and plots in docs/results, with commit, settings, seeds and machine."""
