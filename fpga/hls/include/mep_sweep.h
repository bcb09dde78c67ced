// One pass over the weights of a coupling, a word of LANES weights a cycle, read once and used in both directions:
// an adder tree for the unit above whose row it is, multiply-accumulate for the LANES units below.
//
// C is a coupling: lower and upper layer, weight_t, WORDS = UNITS of upper * WORDS of lower. The widths of up_t and
// down_t are proved to hold every partial sum, so that nothing is cut where a product is added.

#ifndef MEP_SWEEP_H
#define MEP_SWEEP_H

#include "mep_number.h"

namespace mep {

// up = W below
template <class C>
void sweep_up(const typename C::weight_t weight[C::WORDS][C::LANES],
              const typename C::lower::state_t below[C::lower::WORDS][C::LANES],
              typename C::upper::up_t up[C::upper::WORDS][C::LANES]) {
    typename C::upper::up_t sum = 0;
    Place<typename C::upper> at;
    int index = 0;
rows:
    for (int row = 0; row < C::upper::UNITS; row++) {
    words:
        for (int word = 0; word < C::lower::WORDS; word++) {
#pragma HLS PIPELINE II=1
            typename C::upper::up_t part = 0;
        tree:
            for (int lane = 0; lane < C::LANES; lane++) {
#pragma HLS UNROLL
                part += weight[index][lane] * below[word][lane];
            }
            sum = word == 0 ? part : typename C::upper::up_t(sum + part);
            if (word == C::lower::WORDS - 1) {
                up[at.word][at.lane] = sum;
                at.next();
            }
            index++;
        }
    }
}

// down = W^T above
template <class C>
void sweep_down(const typename C::weight_t weight[C::WORDS][C::LANES],
                const typename C::upper::state_t above[C::upper::WORDS][C::LANES],
                typename C::lower::down_t down[C::lower::WORDS][C::LANES]) {
    Place<typename C::upper> at;
    int index = 0;
rows:
    for (int row = 0; row < C::upper::UNITS; row++) {
    words:
        for (int word = 0; word < C::lower::WORDS; word++) {
#pragma HLS PIPELINE II=1
            // true: a word of `down` comes again one row later, not earlier
#pragma HLS DEPENDENCE variable=down type=inter direction=RAW distance=C::lower::WORDS dependent=true
            const typename C::upper::state_t s = above[at.word][at.lane];
        accumulate:
            for (int lane = 0; lane < C::LANES; lane++) {
#pragma HLS UNROLL
                const typename C::lower::down_t held = row == 0 ? typename C::lower::down_t(0) : down[word][lane];
                down[word][lane] = held + weight[index][lane] * s;
            }
            if (word == C::lower::WORDS - 1) {
                at.next();
            }
            index++;
        }
    }
}

// both, from the states of one moment
template <class C>
void sweep_both(const typename C::weight_t weight[C::WORDS][C::LANES],
                const typename C::lower::state_t below[C::lower::WORDS][C::LANES],
                const typename C::upper::state_t above[C::upper::WORDS][C::LANES],
                typename C::upper::up_t up[C::upper::WORDS][C::LANES],
                typename C::lower::down_t down[C::lower::WORDS][C::LANES]) {
    typename C::upper::up_t sum = 0;
    Place<typename C::upper> at;
    int index = 0;
rows:
    for (int row = 0; row < C::upper::UNITS; row++) {
    words:
        for (int word = 0; word < C::lower::WORDS; word++) {
#pragma HLS PIPELINE II=1
            // true: a word of `down` comes again one row later, not earlier
#pragma HLS DEPENDENCE variable=down type=inter direction=RAW distance=C::lower::WORDS dependent=true
            const typename C::upper::state_t s = above[at.word][at.lane];
            typename C::upper::up_t part = 0;
        lanes:
            for (int lane = 0; lane < C::LANES; lane++) {
#pragma HLS UNROLL
                const typename C::weight_t w = weight[index][lane];
                const typename C::lower::down_t held = row == 0 ? typename C::lower::down_t(0) : down[word][lane];
                part += w * below[word][lane];
                down[word][lane] = held + w * s;
            }
            sum = word == 0 ? part : typename C::upper::up_t(sum + part);
            if (word == C::lower::WORDS - 1) {
                up[at.word][at.lane] = sum;
                at.next();
            }
            index++;
        }
    }
}

} // namespace mep

#endif
