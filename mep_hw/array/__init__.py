"""Arrays of linear cells: wires, converters and read noise between digital states and digital drives.

Conductances come in as tensors; how cells change is not the matter here.
"""
