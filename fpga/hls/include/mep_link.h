// Frames between neighbouring nodes: a header, then the states of the layer next to the cut, TLAST on the last word.
//
// A node sends a whole frame before it reads its neighbour's, so the FIFO of a link must hold UNITS + 1 words.

#ifndef MEP_LINK_H
#define MEP_LINK_H

#include "mep_stream.h"

namespace mep {

// Bits 15..0 the frame in its phase, 17..16 the phase, 31..18 the lower bits of the number of the job since reset.
inline word_t header(ap_uint<14> job, ap_uint<2> phase, ap_uint<16> frame) {
#pragma HLS INLINE
    word_t word;
    word.range(31, 18) = job;
    word.range(17, 16) = phase;
    word.range(15, 0) = frame;
    return word;
}

template <class L>
void send_frame(words_t &out, word_t head, const typename L::state_t state[L::WORDS][L::LANES]) {
    Place<L> at;
    send(out, head, false);
units:
    for (int unit = 0; unit < L::UNITS; unit++) {
#pragma HLS PIPELINE II=1
        send(out, raw(state[at.word][at.lane]), unit == L::UNITS - 1);
        at.next();
    }
}

// Whether it was the frame that is due, of the length that is due.
template <class L>
bool receive_frame(words_t &in, word_t head, typename L::state_t state[L::WORDS][L::LANES]) {
    Place<L> at;
    const beat_t first = in.read();
    bool good = first.data == head && !first.last;
units:
    for (int unit = 0; unit < L::UNITS; unit++) {
#pragma HLS PIPELINE II=1
        const beat_t beat = in.read();
        state[at.word][at.lane] = number<typename L::state_t>(beat.data);
        good = good && bool(beat.last) == (unit == L::UNITS - 1);
        at.next();
    }
    return good;
}

} // namespace mep

#endif
