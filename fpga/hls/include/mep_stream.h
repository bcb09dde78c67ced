// Jobs on AXI4-Stream: words of 32 bits, one value a beat, sign-extended; TLAST on the last beat of what is sent.

#ifndef MEP_STREAM_H
#define MEP_STREAM_H

#include "ap_axi_sdata.h"
#include "hls_stream.h"
#include "mep_number.h"

namespace mep {

typedef ap_axis<32, 0, 0, 0> beat_t;
typedef hls::stream<beat_t> words_t;

inline void send(words_t &out, word_t word, bool last) {
#pragma HLS INLINE
    beat_t beat;
    beat.data = word;
    beat.keep = -1;
    beat.strb = -1;
    beat.last = last;
    out.write(beat);
}

// One value for each unit of a layer: inputs, targets, biases, states.
template <class L, class T>
void take(words_t &in, T values[L::WORDS][L::LANES]) {
    Place<L> at;
units:
    for (int unit = 0; unit < L::UNITS; unit++) {
#pragma HLS PIPELINE II=1
        values[at.word][at.lane] = number<T>(in.read().data);
        at.next();
    }
}

// `left`: words of the whole answer that are still to come, which says where TLAST is due.
template <class L, class T>
void emit(words_t &out, const T values[L::WORDS][L::LANES], int &left) {
    Place<L> at;
units:
    for (int unit = 0; unit < L::UNITS; unit++) {
#pragma HLS PIPELINE II=1
        left--;
        send(out, raw(values[at.word][at.lane]), left == 0);
        at.next();
    }
}

// Weights row by row: a word of lanes is written at once, when its last weight is there.
template <class C>
void take_weights(words_t &in, typename C::weight_t weight[C::WORDS][C::LANES]) {
    typename C::weight_t word[C::LANES];
#pragma HLS ARRAY_PARTITION variable=word type=complete dim=1
words:
    for (int index = 0; index < C::WORDS; index++) {
    lanes:
        for (int lane = 0; lane < C::LANES; lane++) {
#pragma HLS PIPELINE II=1
            word[lane] = number<typename C::weight_t>(in.read().data);
            if (lane == C::LANES - 1) {
            store:
                for (int each = 0; each < C::LANES; each++) {
#pragma HLS UNROLL
                    weight[index][each] = word[each];
                }
            }
        }
    }
}

template <class C>
void emit_weights(words_t &out, const typename C::weight_t weight[C::WORDS][C::LANES], int &left) {
words:
    for (int index = 0; index < C::WORDS; index++) {
    lanes:
        for (int lane = 0; lane < C::LANES; lane++) {
#pragma HLS PIPELINE II=1
            left--;
            send(out, raw(weight[index][lane]), left == 0);
        }
    }
}

// Values of a layer as they are at the ends of phases.
template <class L, class T>
void copy(const T from[L::WORDS][L::LANES], T to[L::WORDS][L::LANES]) {
words:
    for (int word = 0; word < L::WORDS; word++) {
#pragma HLS PIPELINE II=1
    lanes:
        for (int lane = 0; lane < L::LANES; lane++) {
#pragma HLS UNROLL
            to[word][lane] = from[word][lane];
        }
    }
}

template <class L, class T>
void fill(T values[L::WORDS][L::LANES], T value) {
words:
    for (int word = 0; word < L::WORDS; word++) {
#pragma HLS PIPELINE II=1
    lanes:
        for (int lane = 0; lane < L::LANES; lane++) {
#pragma HLS UNROLL
            values[word][lane] = value;
        }
    }
}

#ifndef __SYNTHESIS__
// What memories hold at first, in C simulation.
template <class T, int WORDS, int LANES>
void load(const double (&first)[WORDS][LANES], T (&values)[WORDS][LANES]) {
    for (int word = 0; word < WORDS; word++) {
        for (int lane = 0; lane < LANES; lane++) {
            values[word][lane] = first[word][lane];
        }
    }
}
#endif

} // namespace mep

#endif
