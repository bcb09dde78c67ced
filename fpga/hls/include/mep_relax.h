// One damped step of a layer, LANES units a cycle: s <- clamp(s + round((drive - s) / 2^STEP), low, high).
//
// L is a layer: state_t, bias_t, up_t, down_t, total_t, STEP, and low() and high(), the range of its states.

#ifndef MEP_RELAX_H
#define MEP_RELAX_H

#include "mep_number.h"

namespace mep {

// `total` is drive - s, exactly.
template <class L>
typename L::state_t moved(typename L::state_t s, typename L::total_t total) {
#pragma HLS INLINE
    typedef typename L::total_t total_t;
    static const int PLACES = L::state_t::width - L::state_t::iwidth;
    // the same bits, with the point STEP places further up
    typedef ap_fixed<total_t::width, total_t::iwidth - L::STEP> scaled_t;
    typedef ap_fixed<total_t::iwidth - L::STEP + 1 + PLACES, total_t::iwidth - L::STEP + 1, ROUND> change_t;
    const change_t change = number<scaled_t>(raw(total));
    const ap_fixed<change_t::width + L::state_t::width, change_t::iwidth + L::state_t::iwidth> next = s + change;
    if (next < L::low()) {
        return L::low();
    }
    if (next > L::high()) {
        return L::high();
    }
    return next;
}

// A layer with one above it.
template <class L>
void relax(typename L::state_t state[L::WORDS][L::LANES], const typename L::bias_t bias[L::WORDS][L::LANES],
           const typename L::up_t up[L::WORDS][L::LANES], const typename L::down_t down[L::WORDS][L::LANES]) {
words:
    for (int word = 0; word < L::WORDS; word++) {
#pragma HLS PIPELINE II=1
    lanes:
        for (int lane = 0; lane < L::LANES; lane++) {
#pragma HLS UNROLL
            typename L::total_t total = bias[word][lane];
            total += up[word][lane];
            total += down[word][lane];
            total -= state[word][lane];
            state[word][lane] = moved<L>(state[word][lane], total);
        }
    }
}

// The read-out, pulled by beta (target - s). Lanes past the last unit move, too; nobody looks at them.
template <class L>
void relax_readout(typename L::state_t state[L::WORDS][L::LANES], const typename L::bias_t bias[L::WORDS][L::LANES],
                   const typename L::up_t up[L::WORDS][L::LANES],
                   const typename L::state_t target[L::WORDS][L::LANES], typename L::beta_t beta) {
    typedef ap_fixed<L::state_t::width + 1, L::state_t::iwidth + 1> apart_t;
    static const int PLACES = L::state_t::width - L::state_t::iwidth;
    static const int PULL = apart_t::iwidth + L::beta_t::iwidth + 1;
    typedef ap_fixed<PULL + PLACES, PULL, ROUND> pull_t;
words:
    for (int word = 0; word < L::WORDS; word++) {
#pragma HLS PIPELINE II=1
    lanes:
        for (int lane = 0; lane < L::LANES; lane++) {
#pragma HLS UNROLL
            const apart_t apart = target[word][lane] - state[word][lane];
            const pull_t pull = beta * apart;
            typename L::total_t total = bias[word][lane];
            total += up[word][lane];
            total += pull - state[word][lane];
            state[word][lane] = moved<L>(state[word][lane], total);
        }
    }
}

} // namespace mep

#endif
