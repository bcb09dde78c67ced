"""Substrates: the classes that settle a model and execute schedules. Cards name them; import none of them directly."""
