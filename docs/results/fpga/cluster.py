"""Writes cluster.json, cluster.md and cluster.png beside itself: what links cost a cluster of FPGAs."""

import json
import sys
from pathlib import Path

import torch

from mep_hw.files import write_atomic
from mep_hw.studies.fpga_cluster import cluster_links
from mep_hw.studies.fpga_cluster_plot import cluster_markdown, plot_cluster

here = Path(__file__).resolve().parent
torch.set_num_threads(1)
table = cluster_links(lambda line: print(line, file=sys.stderr, flush=True))
table = json.loads(json.dumps(table))
write_atomic(here / "cluster.json", (json.dumps(table, indent=2) + "\n").encode())
write_atomic(here / "cluster.md", cluster_markdown(table).encode())
plot_cluster(table, here / "cluster.png")
