"""HLS C++: a project for one node in `ap_fixed` types, and its C simulation. Synthesis needs the vendor's tool."""
