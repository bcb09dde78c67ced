"""Models as networks of the simulator brian2: their equations, their synapses, and spiking units."""
