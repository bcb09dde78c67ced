#!/usr/bin/env bash
# Every figure in docs/results and in the README. Hours on two cores; name a part to run only that.
#   docs/results/reproduce.sh \
#     [digits|gradients|speed|rules|crossbar|loihi|fpga|formats|cluster|nodes|events|nonidealities|programming|spiking
#      |wires|nir|mnist]
set -euo pipefail
cd "$(dirname "$0")"
part=${1:-all}
if [ "$part" = all ] || [ "$part" = digits ]; then
  for model in 64-24-10 64-128-10; do mep-hw study accuracy --config digits/$model.yaml --out digits; done
fi
if [ "$part" = all ] || [ "$part" = gradients ]; then
  python gradients/run.py > gradients/gradients.json
fi
if [ "$part" = all ] || [ "$part" = speed ]; then
  for model in 784-512-10 784-512-512-10; do
    mep-hw bench speed --model $model --batch 64 --threads 1 --json | tail -n 1 > speed/$model.json
  done
  mep-hw bench speed --model speed/conv.model.yaml --batch 64 --threads 1 --json | tail -n 1 > speed/conv.json
fi
if [ "$part" = all ] || [ "$part" = rules ]; then # goes on where it was cut off; the comparison on MNIST takes hours
  for rule in sgd adam muon dion natural; do mep-hw study accuracy --config rules/digits-$rule.yaml --out rules; done
  mep-hw bench rules --size 1024 --rank 32 --json | tail -n 1 > rules/cost.json
  mep-hw study rules --task digits --out rules
  mep-hw study rules --task mnist --out rules
fi
if [ "$part" = all ] || [ "$part" = crossbar ]; then
  for device in cpu ecram ecram-stuck gokmen-vlasov capacitor reram-sb reram-es oxide-1v5; do
    mep-hw study accuracy --config crossbar/digits-$device.yaml --out crossbar
  done
  for backend in ecram cpu; do # needs MEP_HW_DATA, or downloads the files
    mep-hw study accuracy --config crossbar/mnist-$backend.yaml --seeds 0 --out crossbar
  done
  mep-hw bench crossbar --size 512 --batch 64 --threads 1 --json | tail -n 1 > crossbar/cost.json
fi
if [ "$part" = all ] || [ "$part" = loihi ]; then # needs MEP_HW_DATA, and Lava: mep-hw loihi setup
  mep-hw study accuracy --config loihi/digits.yaml --out loihi
  mep-hw study accuracy --config loihi/mnist.yaml --seeds 0 --out loihi
  (cd ../.. && mep-hw study accuracy --config docs/results/loihi/digits-lava.yaml --seeds 0 --out docs/results/loihi)
fi
if [ "$part" = all ] || [ "$part" = fpga ]; then # needs g++
  mep-hw study accuracy --config fpga/digits.yaml --out fpga
  (cd ../.. && mep-hw study accuracy --config docs/results/fpga/digits-chip.yaml --out docs/results/fpga)
fi
if [ "$part" = all ] || [ "$part" = nodes ]; then # needs verilator, g++, yosys, nextpnr-ecp5; an hour or more
  mep-hw study fpga --model 64-24-10 --lanes 2,4,8 --learning 8 --out fpga
  mep-hw study fpga --lanes 1,2,4,8,16 --learning 8 --no-route --out fpga
fi
if [ "$part" = all ] || [ "$part" = events ]; then # goes on where it was cut off
  mep-hw study events --out events
fi
if [ "$part" = all ] || [ "$part" = nonidealities ]; then # goes on where it was cut off
  mep-hw study nonidealities --seeds 0 --epochs 6 --out nonidealities
fi
if [ "$part" = all ] || [ "$part" = programming ]; then # goes on where it was cut off, for six hours each
  for task in digits mnist; do
    mep-hw study programming --task $task --out programming
    mep-hw study programming --task $task --out programming --hours 0 --markdown > programming/$task.md
  done
fi
if [ "$part" = all ] || [ "$part" = spiking ]; then # needs the extra brian2; goes on where it was cut off
  mep-hw study spiking --out spiking
fi
if [ "$part" = all ] || [ "$part" = formats ]; then # needs MEP_HW_DATA, or downloads the files
  mep-hw study formats --out fpga
fi
if [ "$part" = all ] || [ "$part" = cluster ]; then
  mep-hw study cluster --out fpga
fi
if [ "$part" = nir ]; then # downloads other projects; CONSTRAINTS may hold their torch
  mep-hw study nir --out nir ${CONSTRAINTS:+--constraints "$CONSTRAINTS"}
fi
if [ "$part" = all ] || [ "$part" = wires ]; then
  mep-hw study wires --out wires
fi
if [ "$part" = all ] || [ "$part" = mnist ]; then # needs MEP_HW_DATA, or downloads the files
  for model in 784-1024-10 784-1024-1024-10; do mep-hw study accuracy --config mnist/$model.yaml --out mnist; done
  mep-hw study accuracy --config mnist/conv.yaml --seeds 0 --out mnist
fi
