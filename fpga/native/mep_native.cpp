// The arithmetic of mep_hw/fpga/spec.py in native integers, for whole data sets.
//
// Samples settle in blocks of B, their states as [unit][sample of the block] in 32 bits, so that the inner loop over
// samples becomes vector instructions. Sums have 32 bits where mep_hw.fpga.proof says that they fit, else 64. A block
// whose step changes nothing stands still for good, and is done.
//
// Arrays from Python are 64-bit, rows of samples first; what they hold fits the formats, as Python has checked.
// Compile with -fwrapv.

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

using std::int32_t;
using std::int64_t;
using std::uint32_t;

template <class T>
inline T rounded(T value, int bits) {
#ifdef MEP_BREAK_ROUNDING  // for the test that a wrong rounding is found
    return value >> bits;
#else
    return bits ? (value + (T(1) << (bits - 1))) >> bits : value;
#endif
}

struct Matrix {
    int rows = 0, cols = 0;
    std::vector<int32_t> at;  // row by row

    Matrix() = default;
    Matrix(const int64_t* source, int rows, int cols, bool transpose = false)
        : rows(transpose ? cols : rows), cols(transpose ? rows : cols), at(size_t(rows) * cols) {
        for (int i = 0; i < rows; ++i)
            for (int j = 0; j < cols; ++j)
                at[transpose ? size_t(j) * rows + i : size_t(i) * cols + j] = int32_t(source[size_t(i) * cols + j]);
    }
};

// sum[b] += sum_j w[j] s[j][b]
template <class T, int B>
inline void add_products(const int32_t* w, const int32_t* s, int count, T* sum) {
    T own[B];
    std::copy(sum, sum + B, own);
    for (int j = 0; j < count; ++j)
        for (int b = 0; b < B; ++b) own[b] += T(w[j]) * T(s[size_t(j) * B + b]);
    std::copy(own, own + B, sum);
}

// Rows first .. first + B of (rows, units) as [unit][sample]; beyond the last row the last one again.
template <class T, int B>
void gather(const int64_t* from, int64_t rows, int units, int64_t first, T* to) {
    for (int b = 0; b < B; ++b) {
        const int64_t* row = from + std::min(first + b, rows - 1) * units;
        for (int i = 0; i < units; ++i) to[size_t(i) * B + b] = T(row[i]);
    }
}

template <class T, int B>
void scatter(const T* from, int64_t rows, int units, int64_t first, int64_t* to) {
    for (int b = 0; b < B && first + b < rows; ++b)
        for (int i = 0; i < units; ++i) to[(first + b) * units + i] = from[size_t(i) * B + b];
}

struct Layer {  // in the order of native.py
    int64_t units, low, high, wide, bias_shift, up_shift, down_shift, head, rounding;
};

struct Phase {
    int depth;
    const Layer* layers;
    const int64_t* const* biases;
    std::vector<Matrix> up, down;  // of each layer; empty at the ends, where drives are given instead
    const int64_t *below, *above;  // (rows, units of the first layer), (rows, units of the last); above may be null
    const int64_t *beta, *target;  // (rows,), (rows, units of the last layer); both null in a free phase
    int64_t beta_fraction;
};

template <int B>
struct Block {
    std::vector<std::vector<int32_t>> now, next;
    std::vector<int64_t> below, above, target;
    int64_t beta[B];
};

template <class T, int B>
bool step_layer(const Phase& phase, int l, Block<B>& block) {
    const Layer& layer = phase.layers[l];
    const bool last = l == phase.depth - 1;
    bool moved = false;
    for (int i = 0; i < layer.units; ++i) {
        const int32_t* own = &block.now[l][size_t(i) * B];
        int32_t* next = &block.next[l][size_t(i) * B];
        T up[B] = {}, down[B] = {}, total[B];
        if (l > 0) {
            const Matrix& w = phase.up[l];
            add_products<T, B>(&w.at[size_t(i) * w.cols], block.now[l - 1].data(), w.cols, up);
        } else {
            for (int b = 0; b < B; ++b) up[b] = T(block.below[size_t(i) * B + b]);
        }
        if (!last) {
            const Matrix& w = phase.down[l];
            add_products<T, B>(&w.at[size_t(i) * w.cols], block.now[l + 1].data(), w.cols, down);
        } else if (phase.above) {
            for (int b = 0; b < B; ++b) down[b] = T(block.above[size_t(i) * B + b]);
        }
        const T bias = T(phase.biases[l][i]) << layer.bias_shift;
        for (int b = 0; b < B; ++b)
            total[b] = bias + (up[b] << layer.up_shift) + (down[b] << layer.down_shift) - (T(own[b]) << layer.head);
        if (last && phase.beta)
            for (int b = 0; b < B; ++b) {
                const int64_t error = block.target[size_t(i) * B + b] - own[b];
                total[b] += T(rounded<int64_t>(block.beta[b] * error, int(phase.beta_fraction))) << layer.head;
            }
        int32_t differs = 0;
        for (int b = 0; b < B; ++b) {
            const T value = T(own[b]) + rounded<T>(total[b], int(layer.rounding));
            next[b] = int32_t(std::min(std::max(value, T(layer.low)), T(layer.high)));
            differs |= next[b] ^ own[b];
        }
        moved |= differs != 0;
    }
    return moved;
}

template <int B>
void settle_block(const Phase& phase, int64_t rows, int64_t first, int64_t steps, int64_t* const* states) {
    Block<B> block;
    for (int l = 0; l < phase.depth; ++l) {
        const int units = int(phase.layers[l].units);
        block.now.emplace_back(size_t(units) * B);
        gather<int32_t, B>(states[l], rows, units, first, block.now[l].data());
    }
    block.next = block.now;
    const int bottom = int(phase.layers[0].units), top = int(phase.layers[phase.depth - 1].units);
    block.below.resize(size_t(bottom) * B);
    gather<int64_t, B>(phase.below, rows, bottom, first, block.below.data());
    if (phase.above) {
        block.above.resize(size_t(top) * B);
        gather<int64_t, B>(phase.above, rows, top, first, block.above.data());
    }
    if (phase.beta) {
        block.target.resize(size_t(top) * B);
        gather<int64_t, B>(phase.target, rows, top, first, block.target.data());
        gather<int64_t, B>(phase.beta, rows, 1, first, block.beta);
    }
    for (int64_t n = 0; n < steps; ++n) {
        bool moved = false;
        for (int l = 0; l < phase.depth; ++l)
            moved |= phase.layers[l].wide ? step_layer<int64_t, B>(phase, l, block) : step_layer<int32_t, B>(phase, l, block);
        if (!moved) break;
        block.now.swap(block.next);
    }
    for (int l = 0; l < phase.depth; ++l)
        scatter<int32_t, B>(block.now[l].data(), rows, int(phase.layers[l].units), first, states[l]);
}

constexpr int MANY = 16;  // samples of a block: two vectors of 256 bits, or one of 512

template <class T, int B>
void product_block(const Matrix& w, const int64_t* s, int64_t rows, int64_t first, int64_t* out) {
    std::vector<int32_t> block(size_t(w.cols) * B);
    std::vector<T> sums(size_t(w.rows) * B);
    gather<int32_t, B>(s, rows, w.cols, first, block.data());
    for (int i = 0; i < w.rows; ++i)
        add_products<T, B>(&w.at[size_t(i) * w.cols], block.data(), w.cols, &sums[size_t(i) * B]);
    scatter<T, B>(sums.data(), rows, w.rows, first, out);
}

template <class T>
void product(const Matrix& w, const int64_t* s, int64_t rows, int64_t* out) {
    if (rows == 1) return product_block<T, 1>(w, s, rows, 0, out);
    for (int64_t first = 0; first < rows; first += MANY) product_block<T, MANY>(w, s, rows, first, out);
}

}  // namespace

extern "C" {

// out (samples, rows) = s (samples, cols) W^T; with `transpose` out (samples, cols) = s (samples, rows) W.
void mep_product(const int64_t* weights, int64_t rows, int64_t cols, int64_t transpose, int64_t wide, const int64_t* s,
                 int64_t samples, int64_t* out) {
    const Matrix w(weights, int(rows), int(cols), transpose != 0);
    if (wide)
        product<int64_t>(w, s, samples, out);
    else
        product<int32_t>(w, s, samples, out);
}

// `steps` steps of `depth` layers that follow each other, states[l] (rows, units) in place. weights[l] come into layer l
// from layer l - 1; weights[0] is not used, as `below` has its products, and `above` those from beyond the last layer.
void mep_settle(int64_t depth, const Layer* layers, const int64_t* const* weights, const int64_t* const* biases,
                const int64_t* below, const int64_t* above, const int64_t* beta, const int64_t* target,
                int64_t beta_fraction, int64_t rows, int64_t steps, int64_t* const* states) {
    Phase phase{int(depth), layers, biases, {}, {}, below, above, beta, target, beta_fraction};
    phase.up.resize(depth);
    phase.down.resize(depth);
    for (int l = 1; l < depth; ++l) {
        const int units = int(layers[l].units), sending = int(layers[l - 1].units);
        phase.up[l] = Matrix(weights[l], units, sending);
        phase.down[l - 1] = Matrix(weights[l], units, sending, true);
    }
    if (rows == 1) return settle_block<1>(phase, rows, 0, steps, states);
    for (int64_t first = 0; first < rows; first += MANY) settle_block<MANY>(phase, rows, first, steps, states);
}

// The updates of one coupling from `samples` samples, one after the other: held (rows, cols) and the registers (lanes,)
// in place. post_* are (samples, rows), pre_* (samples, cols), in the phases with +beta and -beta.
void mep_learn(int64_t* held, int64_t rows, int64_t cols, const int64_t* post_plus, const int64_t* pre_plus,
               const int64_t* post_minus, const int64_t* pre_minus, int64_t samples, int64_t* registers, int64_t lanes,
               int64_t shift, int64_t least, int64_t most) {
    std::vector<uint32_t> drawn(registers, registers + lanes);
    for (int64_t n = 0; n < samples; ++n, post_plus += rows, post_minus += rows, pre_plus += cols, pre_minus += cols)
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t first = 0; first < cols; first += lanes) {
                for (uint32_t& r : drawn) {
                    r ^= r << 13;
                    r ^= r >> 17;
                    r ^= r << 5;
                }
                const int64_t end = std::min(lanes, cols - first);
                for (int64_t p = 0; p < end; ++p) {
                    const int64_t j = first + p;
                    const int64_t moved = post_plus[i] * pre_plus[j] - post_minus[i] * pre_minus[j];
#ifdef MEP_BREAK_ROUNDING
                    const int64_t change = moved >> shift;
#else
                    const int64_t change = (moved + (int64_t(drawn[p]) >> (32 - shift))) >> shift;
#endif
                    held[i * cols + j] = std::min(std::max(held[i * cols + j] + change, least), most);
                }
            }
    std::copy(drawn.begin(), drawn.end(), registers);
}
}
