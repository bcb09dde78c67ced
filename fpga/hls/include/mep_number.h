// Fixed-point numbers as whole numbers on a stream, and the one rounding of the specification.
//
// AP_RND adds half of the last kept place and cuts: to the nearest, halves upward, as `round` of the specification.

#ifndef MEP_NUMBER_H
#define MEP_NUMBER_H

#include "ap_fixed.h"
#include "ap_int.h"

namespace mep {

#ifdef MEP_BREAK_ROUNDING // for the test that a wrong rounding is noticed
static const ap_q_mode ROUND = AP_TRN;
#else
static const ap_q_mode ROUND = AP_RND;
#endif

typedef ap_int<32> word_t;

// The bits of a number, as a whole number in units of its last place.
template <class T>
ap_int<T::width> raw(T value) {
#pragma HLS INLINE
    return value.range();
}

// The number with these bits; bits beyond its width are cut.
template <class T, int BITS>
T number(ap_int<BITS> bits) {
#pragma HLS INLINE
    T value;
    value.range() = bits;
    return value;
}

// Where unit after unit of a layer lies in its words of lanes.
template <class L>
struct Place {
    int word;
    int lane;

    Place() : word(0), lane(0) {}

    void next() {
#pragma HLS INLINE
        if (lane == L::LANES - 1) {
            lane = 0;
            word++;
        } else {
            lane++;
        }
    }
};

} // namespace mep

#endif
