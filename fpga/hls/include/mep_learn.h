// The contrastive update on the chip: s+ s+ - s- s-, divided by a power of two and rounded by chance, a word of LANES
// weights a cycle. Every lane has a shift register (xorshift, 32 bits), advanced just before it is used.

#ifndef MEP_LEARN_H
#define MEP_LEARN_H

#include "mep_number.h"

namespace mep {

typedef ap_uint<32> lfsr_t;

inline lfsr_t advanced(lfsr_t x) {
#pragma HLS INLINE
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

// held + (change + the upper SHIFT bits of `drawn`) / 2^SHIFT, kept within the format; all in units of last places.
template <int SHIFT, class T, class M>
T added(T held, M change, lfsr_t drawn) {
#pragma HLS INLINE
    static const int WIDTH = (M::width > 33 ? M::width : 33) + 1;
#ifdef MEP_BREAK_ROUNDING
    const ap_int<WIDTH> sum = raw(change) + ap_int<33>(drawn & 0);
#else
    const ap_int<WIDTH> sum = raw(change) + ap_int<33>(drawn >> (32 - SHIFT));
#endif
    const ap_int<WIDTH + T::width> next = raw(held) + (sum >> SHIFT);
    const ap_fixed<T::width, T::width, AP_TRN, AP_SAT> kept = next;
    return number<T>(raw(kept));
}

template <class C>
void learn_weights(typename C::weight_t weight[C::WORDS][C::LANES], lfsr_t registers[C::LANES],
                   const typename C::lower::state_t below_plus[C::lower::WORDS][C::LANES],
                   const typename C::lower::state_t below_minus[C::lower::WORDS][C::LANES],
                   const typename C::upper::state_t above_plus[C::upper::WORDS][C::LANES],
                   const typename C::upper::state_t above_minus[C::upper::WORDS][C::LANES]) {
    typedef typename C::lower::state_t lower_t;
    typedef typename C::upper::state_t upper_t;
    typedef ap_fixed<lower_t::width + upper_t::width + 1, lower_t::iwidth + upper_t::iwidth + 1> change_t;
    Place<typename C::upper> at;
    int index = 0;
rows:
    for (int row = 0; row < C::upper::UNITS; row++) {
    words:
        for (int word = 0; word < C::lower::WORDS; word++) {
#pragma HLS PIPELINE II=1
            // a word of weights is read and written once
#pragma HLS DEPENDENCE variable=weight type=inter dependent=false
            const upper_t plus = above_plus[at.word][at.lane];
            const upper_t minus = above_minus[at.word][at.lane];
        lanes:
            for (int lane = 0; lane < C::LANES; lane++) {
#pragma HLS UNROLL
                registers[lane] = advanced(registers[lane]);
                const change_t change = plus * below_plus[word][lane] - minus * below_minus[word][lane];
                weight[index][lane] = added<C::SHIFT>(weight[index][lane], change, registers[lane]);
            }
            if (word == C::lower::WORDS - 1) {
                at.next();
            }
            index++;
        }
    }
}

template <class L>
void learn_biases(typename L::bias_t bias[L::WORDS][L::LANES], lfsr_t registers[L::LANES],
                  const typename L::state_t plus[L::WORDS][L::LANES],
                  const typename L::state_t minus[L::WORDS][L::LANES]) {
    typedef ap_fixed<L::state_t::width + 1, L::state_t::iwidth + 1> change_t;
words:
    for (int word = 0; word < L::WORDS; word++) {
#pragma HLS PIPELINE II=1
    lanes:
        for (int lane = 0; lane < L::LANES; lane++) {
#pragma HLS UNROLL
            registers[lane] = advanced(registers[lane]);
            const change_t change = plus[word][lane] - minus[word][lane];
            bias[word][lane] = added<L::SHIFT>(bias[word][lane], change, registers[lane]);
        }
    }
}

} // namespace mep

#endif
