"""Co-simulation with a process for each node, which share nothing but sockets."""
