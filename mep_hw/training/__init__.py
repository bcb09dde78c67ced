"""The parts of a training run: one step, the record, checkpoints, the loop."""
