"""What a model takes of a chip: by hand, at every limit and one beyond it, and as sums of its parts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loihi_chips import chip

import mep_hw
from mep_hw.cards import load_backend
from mep_hw.errors import CapabilityError, InputError
from mep_hw.loihi.limits import load_chip
from mep_hw.loihi.mapping import map_model
from mep_hw.loihi.memory import Memory
from mep_hw.loihi.wiring import wirings


def test_a_small_model_by_hand() -> None:
    found = map_model(mep_hw.mlp(6, 4, 3), chip(neurons_per_core=4), weight_bits=5)
    first, hidden, last = found.layers
    assert (found.neurons, found.synapses) == (13, 6 * 4 + 2 * 4 * 3)
    assert found.synapse_bits == 5 * (24 + 12 + 12)
    assert [k.cores for k in found.layers] == [2, 1, 1] and found.cores == 4
    assert (first.fan_in, first.fan_out, hidden.fan_in, hidden.fan_out) == (0, 4, 6 + 3, 3)
    assert list(hidden.needed.values()) == [4, 5 * (24 + 12), 6 + 3, 4]  # neurons, bits, axons in, axons out
    assert (last.fan_in, last.fan_out, first.decided_by) == (4, 4, "neurons_per_core")
    assert [(k.name, k.direction, k.synapses) for k in found.couplings] == [
        ("1", "forward", 24), ("2", "forward", 12), ("2", "backward", 12),
    ]  # fmt: skip


def test_both_directions_of_the_figure_in_the_notes() -> None:
    found = map_model(mep_hw.mlp(784, 128, 10), load_chip("loihi2"))
    assert found.synapses == 784 * 128 + 2 * 128 * 10 and found.synapse_bits == 8 * found.synapses
    assert found.cores == 3 and found.cores_at_least
    assert found.unknown == ("synapse_bits_per_core", "axons_in_per_core", "axons_out_per_core")


def test_memory_of_an_axon_in_groups_and_words() -> None:
    # Loihi 1: groups of at most 64 synapses behind 10 bits, in words of 64 bits.
    (forward, *_) = wirings(mep_hw.mlp(3, 70, 2))
    memory = Memory(load_chip("loihi1"), 8, learning=False)
    assert memory.of_axon(forward, 1) == 64
    assert memory.of_axon(forward, 6) == 64 and memory.of_axon(forward, 7) == 128  # 10 + 48 and 10 + 56 bits
    assert memory.of_axon(forward, 64) == 576  # 10 + 512 bits in 9 words
    assert memory.of_axon(forward, 70) == 576 + 64
    assert Memory(load_chip("loihi1"), 8, learning=True).of_axon(forward, 3) == 64  # 10 + 3 (8 + 9) bits
    assert Memory(load_chip("loihi1"), 8, learning=True).of_axon(forward, 4) == 128
    found = map_model(mep_hw.mlp(3, 70, 2), load_chip("loihi1"), payload_bits=1)
    assert found.synapse_bits == 3 * (576 + 64) + 70 * 64 + 2 * (576 + 64)
    assert not found.cores_at_least and not found.unknown


def test_synapses_that_name_their_neuron_take_an_index() -> None:
    model = mep_hw.convnet((1, 6, 6), (2,), kernel=3, pool=None)
    conv, dense, _ = wirings(model)
    memory = Memory(load_chip("loihi1"), 8, learning=False)
    assert (memory.of_synapse(conv), memory.of_synapse(dense)) == (18, 8)
    found = map_model(model, load_chip("loihi2"))
    assert found.couplings[0].weights == 18 and found.couplings[0].synapses == 16 * 9 * 2
    assert any("unrolled" in text for text in found.assumptions)


# For mlp(6, 4, 3) on one core a layer: what is needed, and where most.
NEEDED = {
    "weight_bits": (8, "every weight"),
    "message_bits": (14, "every event"),
    "cores_per_chip": (3, "all layers"),
    "neurons_per_chip": (13, "all layers, most in input"),
    "synapses_per_chip": (48, "all layers, most in layer 1"),
}


@pytest.mark.parametrize("limit", list(NEEDED))
def test_exactly_at_a_limit_fits_and_one_more_is_refused(limit: str) -> None:
    needed, where = NEEDED[limit]
    model = mep_hw.mlp(6, 4, 3)
    (check,) = [c for c in map_model(model, chip(**{limit: needed})).checks if c.limit == limit]
    assert (check.needed, check.value, check.status) == (needed, needed, "fits")
    with pytest.raises(
        CapabilityError, match=f"{where}.*{limit} = {needed}: is above {needed - 1}.*open-neu|lava|emer"
    ):
        map_model(model, chip(**{limit: needed - 1}))


def test_limits_of_a_core_split_a_layer_until_they_hold() -> None:
    model = mep_hw.mlp(6, 4, 3)
    assert [k.cores for k in map_model(model, chip(neurons_per_core=6)).layers] == [1, 1, 1]
    assert [k.cores for k in map_model(model, chip(neurons_per_core=3)).layers] == [2, 2, 1]
    # Layer 1 holds 9 synapses for each of its neurons, layer 2 holds 4.
    found = map_model(model, chip(synapse_bits_per_core=8 * 18))
    assert [k.cores for k in found.layers] == [1, 2, 1]
    assert found.layers[1].decided_by == "synapse_bits_per_core" and found.layers[1].needed["neurons_per_core"] == 2
    assert [k.cores for k in map_model(model, chip(synapse_bits_per_core=8 * 18 - 1)).layers] == [1, 4, 1]


def test_a_neuron_listens_on_one_core_so_its_inputs_cannot_be_split() -> None:
    model = mep_hw.mlp(6, 4, 3)
    assert map_model(model, chip(axons_in_per_core=9)).cores == 3
    with pytest.raises(CapabilityError, match="layer 1, axons_in_per_core = 9: is above 8 .*even on 4 cores"):
        map_model(model, chip(axons_in_per_core=8))
    with pytest.raises(CapabilityError, match="layer 1, synapse_bits_per_core = 72: is above 71 "):
        map_model(model, chip(synapse_bits_per_core=71))


def test_more_cores_ask_for_more_entries_of_those_who_send_to_them() -> None:
    model = mep_hw.mlp(6, 4, 3)
    # Layer 1 on two cores: each of 6 inputs needs two entries, so 11 of them on one core do not do.
    found = map_model(model, chip(synapse_bits_per_core=8 * 18, axons_out_per_core=12))
    assert [k.cores for k in found.layers] == [1, 2, 1]
    found = map_model(model, chip(synapse_bits_per_core=8 * 18, axons_out_per_core=11))
    assert [k.cores for k in found.layers] == [2, 2, 1]
    with pytest.raises(CapabilityError, match="the input, axons_out_per_core = 2: is above 1 "):
        map_model(model, chip(synapse_bits_per_core=8 * 18, axons_out_per_core=1))


def test_cores_of_several_chips() -> None:
    model, limits = mep_hw.mlp(6, 4, 3), chip(neurons_per_core=2, cores_per_chip=4)
    with pytest.raises(CapabilityError, match="all layers, most in input, cores_per_chip = 7: is above 4 cores"):
        map_model(model, limits)
    assert map_model(model, limits, chips=2).chips == 2


def test_what_is_unknown_is_never_counted_as_fulfilled() -> None:
    found = map_model(mep_hw.mlp(6, 4, 3), chip())
    assert {c.status for c in found.checks} == {"unknown"} and len(found.unknown) == 10
    assert found.cores_at_least and found.chips is None
    assert all(k.decided_by is None for k in found.layers)


def test_the_defaults_are_the_formats_of_the_bundled_card() -> None:
    card = load_backend("loihi")
    assert card.loihi is not None and card.registers is not None
    needed = {check.limit: check.needed for check in map_model(mep_hw.mlp(2, 2), chip()).checks}
    assert (needed["message_bits"], needed["weight_bits"]) == (card.loihi.payload_bits, card.registers.bits)


def test_what_the_machine_refuses_is_said() -> None:
    found = map_model(mep_hw.mlp(6, 4, 3, cost="cross_entropy"), chip())
    assert any("softmax" in text for text in found.assumptions)


@pytest.mark.parametrize("field", ["weight_bits", "payload_bits", "chips"])
def test_numbers_below_one_are_refused(field: str) -> None:
    options = {field: 0}
    with pytest.raises(InputError, match=f"map_model: {field} = 0: must be at least 1"):
        map_model(mep_hw.mlp(2, 2), chip(), **options)


def test_a_tag_for_what_learns_and_none_for_what_is_fixed() -> None:
    model = mep_hw.mlp(6, 4, 3)
    fixed, learns = (map_model(model, load_chip("loihi2"), learning=way).synapse_bits for way in (False, True))
    assert learns - fixed == 9 * 48


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=2, max_size=4),
    st.integers(1, 40),
    st.integers(1, 3000),
    st.integers(1, 80),
)
def test_totals_are_sums_and_the_fullest_core_fits(sizes: list[int], neurons: int, bits: int, entries: int) -> None:
    limits = chip(neurons_per_core=neurons, synapse_bits_per_core=bits, axons_out_per_core=entries)
    model = mep_hw.mlp(*sizes)
    try:
        found = map_model(model, limits)
    except CapabilityError as error:
        assert "axons_out_per_core" in str(error) or "synapse_bits_per_core" in str(error)
        return
    between = [a * b for a, b in zip(sizes, sizes[1:], strict=False)]
    assert found.synapses == sum(k.synapses for k in found.couplings) == between[0] + 2 * sum(between[1:])
    assert found.synapses == sum(k.synapses_in for k in found.layers)
    assert found.cores == sum(k.cores for k in found.layers) and found.neurons == sum(sizes)
    assert found.synapse_bits == sum(k.synapse_bits for k in found.layers) == 8 * found.synapses
    cores = [k.cores for k in found.layers]
    for n, (layer, size) in enumerate(zip(found.layers, sizes, strict=True)):
        fullest = -(-size // layer.cores)
        heard = (sizes[n - 1] if n else 0) + (sizes[n + 1] if 0 < n < len(sizes) - 1 else 0)
        reached = (cores[n + 1] if n + 1 < len(sizes) else 0) + (cores[n - 1] if n > 1 else 0)
        assert layer.needed == {
            "neurons_per_core": fullest, "synapse_bits_per_core": 8 * fullest * heard, "axons_in_per_core": heard,
            "axons_out_per_core": fullest * reached,
        }  # fmt: skip
        assert fullest <= neurons and 8 * fullest * heard <= bits and fullest * reached <= entries


def test_counting_draws_no_weights() -> None:
    """Of layers that fit no chip, drawing them and bounding their norm would take hours and all memory."""
    large = mep_hw.mlp(784, 20_000, 20_000, 10)
    with pytest.raises(CapabilityError, match="synapses_per_chip = 816080000: is above 120000000"):
        map_model(large, load_chip("loihi2"))
    assert "weights" not in vars(large)
